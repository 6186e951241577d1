module homewright.invalid/pause

go 1.26
