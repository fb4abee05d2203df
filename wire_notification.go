package laneswap

import (
	"encoding/json"
	"fmt"
)

type wireNotification struct {
	ID      string     `json:"id"`
	Kind    NoticeKind `json:"kind"`
	Title   string     `json:"title"`
	Text    string     `json:"text"`
	Finding *string    `json:"finding"`
	Attempt int        `json:"attempt"`
	Items   []Item     `json:"items"`
}

// MarshalJSON writes the notification as receivers of the adapters webhook and
// command get it. The event of the first item is in that item only.
func (n Notification) MarshalJSON() ([]byte, error) {
	w := wireNotification{
		ID: n.ID, Kind: n.Kind, Title: n.Title, Text: n.Text, Finding: stringPtr(n.Finding), Attempt: n.Attempt, Items: n.Items,
	}
	if w.Items == nil {
		w.Items = []Item{}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes. The Receipt of what it reads goes
// nowhere.
func (n *Notification) UnmarshalJSON(data []byte) error {
	var w wireNotification
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: notification: %w", err)
	}
	*n = Notification{
		ID: w.ID, Kind: w.Kind, Title: w.Title, Text: w.Text, Finding: stringOf(w.Finding), Attempt: w.Attempt, Items: w.Items,
	}
	if len(n.Items) == 0 {
		n.Items = nil
		return nil
	}
	n.Event = n.Items[0].Event
	return nil
}

type wireItem struct {
	Event    Event    `json:"event"`
	Earlier  []Event  `json:"earlier"`
	Flapping int      `json:"flapping"`
	Reminder *float64 `json:"reminder"`
	Text     string   `json:"text"`
}

// MarshalJSON writes the item as it is in a notification.
func (i Item) MarshalJSON() ([]byte, error) {
	w := wireItem{Event: i.Event, Earlier: i.Earlier, Flapping: i.Flapping, Reminder: secondsPtr(i.Reminder), Text: i.Text}
	if w.Earlier == nil {
		w.Earlier = []Event{}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (i *Item) UnmarshalJSON(data []byte) error {
	var w wireItem
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: item: %w", err)
	}
	*i = Item{Event: w.Event, Earlier: w.Earlier, Flapping: w.Flapping, Reminder: durationOf(w.Reminder), Text: w.Text}
	if len(i.Earlier) == 0 {
		i.Earlier = nil
	}
	return nil
}
