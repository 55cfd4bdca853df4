// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as [time.ParseDuration] does, and whole days: 14d. It is never negative.
func ParseDuration(text string) (time.Duration, error) {
	v, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); err == nil {
			v = time.Duration(n) * 24 * time.Hour
			if v/(24*time.Hour) != time.Duration(n) {
				err = strconv.ErrRange
			}
		}
	}
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is no duration, such as 90s, 12h or 14d", text)
	}
	return v, nil
}
