// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
)

// Released is what of a template must not change: a logical id that is renamed, or a key of the table that is another,
// would replace what has the data, or the address that clients know.
type Released struct {
	Resources map[string]string `json:"resources"` // types by logical id
	Table     map[string]any    `json:"table"`
}

// ReadReleased reads the file of what was released.
func ReadReleased(file string) (Released, error) {
	var r Released
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// Release is what must not change of a template from now on.
func Release(t Template) Released {
	r := Released{Resources: map[string]string{}, Table: map[string]any{}}
	for id, resource := range t.Resources {
		r.Resources[id] = resource.Type
	}
	for _, name := range []string{"AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"} {
		r.Table[name] = t.Resources["Table"].Properties[name]
	}
	return r
}

func (r Released) compare(t Template) (found []string) {
	now := Release(t)
	if t.expanded() {
		now.Resources = r.Resources // SAM adds its own, and gates compares those that it took over
	}
	for _, id := range slices.Sorted(maps.Keys(r.Resources)) {
		if now.Resources[id] != r.Resources[id] {
			found = append(found, fmt.Sprintf("%s was released as %s and is now %q", id, r.Resources[id], now.Resources[id]))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now.Resources)) {
		if r.Resources[id] == "" {
			found = append(found, id+" is not in released.json: its name is for ever, see -update")
		}
	}
	if !reflect.DeepEqual(r.Table, now.Table) {
		found = append(found, fmt.Sprintf("the table has other keys: %v, released were %v", now.Table, r.Table))
	}
	return found
}

// expanded tells whether SAM's transform has been at work.
func (t Template) expanded() bool { return len(t.ids(serverless)) == 0 }
