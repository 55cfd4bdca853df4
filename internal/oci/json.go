// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// jsonValue is the text of one JSON value that is known to be valid. It is cut into parts without decoding: encoding/json
// folds the case of field names and lets the last of two equal ones win, and a decoded document of small values is many
// times its text.
type jsonValue string

// jsonObject checks that body is one JSON object in UTF-8, not deeper than MaxDepth. The error is MANIFEST_INVALID.
func jsonObject(body []byte) (jsonValue, error) {
	if !utf8.Valid(body) {
		return "", Errorf(ManifestInvalid, "the manifest is not UTF-8")
	}
	if !json.Valid(body) {
		var v json.RawMessage
		return "", Errorf(ManifestInvalid, "the manifest is not JSON: %v", json.Unmarshal(body, &v))
	}
	s := strings.Trim(string(body), " \t\r\n")
	if s[0] != '{' {
		return "", Errorf(ManifestInvalid, "the manifest is %s, not an object", kind(s))
	}
	if n := depth(s); n > MaxDepth {
		return "", Errorf(ManifestInvalid, "the manifest has %d levels of JSON, more than %d", n, MaxDepth)
	}
	return jsonValue(s), nil
}

// depth counts the levels of arrays and objects.
func depth(s string) int {
	open, deepest := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = stringEnd(s, i) - 1
		case '{', '[':
			open++
			deepest = max(deepest, open)
		case '}', ']':
			open--
		}
	}
	return deepest
}

// fields puts the text of the named members into values, in the order of names; "" stands for an absent one and for a
// null. A name that comes twice, or in another case, is an error.
func (v jsonValue) fields(names, values []string) error {
	err := v.members(func(key, value string) error {
		for i, name := range names {
			switch {
			case key == name && values[i] != "":
				return Errorf(ManifestInvalid, "%q comes twice", key)
			case key == name:
				values[i] = value
				return nil
			case strings.EqualFold(key, name):
				return Errorf(ManifestInvalid, "%q: did you mean %q?", key, name)
			}
		}
		return nil
	})
	for i := range names {
		if values[i] == "null" {
			values[i] = ""
		}
	}
	return err
}

// members calls f with the name and the text of each member of an object.
func (v jsonValue) members(f func(key, value string) error) error {
	s := string(v)
	if s[0] != '{' {
		return Errorf(ManifestInvalid, "this is %s, not an object", kind(s))
	}
	for i := skip(s, 1, ""); s[i] != '}'; {
		end := stringEnd(s, i)
		key, err := jsonValue(s[i:end]).text()
		if err != nil {
			return err
		}
		i = skip(s, end, ":")
		end = valueEnd(s, i)
		if err := f(key, s[i:end]); err != nil {
			return err
		}
		i = skip(s, end, ",")
	}
	return nil
}

// elements calls f with the text of each element of an array.
func (v jsonValue) elements(f func(value string) error) error {
	s := string(v)
	if s[0] != '[' {
		return Errorf(ManifestInvalid, "this is %s, not an array", kind(s))
	}
	for i := skip(s, 1, ""); s[i] != ']'; {
		end := valueEnd(s, i)
		if err := f(s[i:end]); err != nil {
			return err
		}
		i = skip(s, end, ",")
	}
	return nil
}

// text decodes a string.
func (v jsonValue) text() (string, error) {
	s := string(v)
	if s[0] != '"' {
		return "", Errorf(ManifestInvalid, "this is %s, not a string", kind(s))
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1], nil
	}
	var decoded string
	if err := json.Unmarshal([]byte(s), &decoded); err != nil {
		return "", Errorf(ManifestInvalid, "this is no string: %v", err)
	}
	return decoded, nil
}

// kind names the type of a value for a message.
func kind(s string) string {
	switch s[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// skip returns where the next token after s[i] begins, the separators counting as white space.
func skip(s string, i int, separators string) int {
	for strings.IndexByte(" \t\r\n", s[i]) >= 0 || strings.IndexByte(separators, s[i]) >= 0 {
		i++
	}
	return i
}

// stringEnd returns where the string that begins at s[i] ends.
func stringEnd(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns where the value that begins at s[i] ends.
func valueEnd(s string, i int) int {
	if s[i] == '"' {
		return stringEnd(s, i)
	}
	for open := 0; ; i++ {
		switch s[i] {
		case '"':
			i = stringEnd(s, i) - 1
		case '{', '[':
			open++
		case '}', ']':
			if open == 0 {
				return i
			}
			if open--; open == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if open == 0 {
				return i
			}
		}
	}
}
