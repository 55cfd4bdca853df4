package main

import "functions/internal/shared"

func main() { shared.Both("TARE_ONE") }
