package main

import "functions/internal/shared"

// TARE_COMMENT is none.
func main() { shared.Both("other"); shared.Deep() }
