package shared

const deep = "TARE_DEEP"

func Both(string) string { return "TARE_BOTH" }

func Deep() string { return deeper() }

func deeper() string { return deep }

func nobody() string { return "TARE_NOBODY" }
