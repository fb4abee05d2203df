module github.com/laneswap/laneswap

go 1.26
