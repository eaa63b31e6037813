"""The storm: the operator as a process, killed again and again while users work."""
