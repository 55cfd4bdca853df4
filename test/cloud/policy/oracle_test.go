// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tare/test/standin"
)

// TestOracle compares with a simulator that others wrote. It is told its folder by a variable; "make cloud-oracle" installs
// it there.
func TestOracle(t *testing.T) {
	folder := os.Getenv("TARE_IAM_ORACLE")
	if folder == "" {
		standin.Lacking(t, "TARE_IAM_ORACLE is not set: make cloud-oracle sets it")
	}
	const cases = 3000
	var asked []map[string]any
	var ours []Decision
	for seed := range uint64(cases) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 7))}
		r := g.request()
		role := `{"Version":"2012-10-17","Statement":[` + strings.Join(g.statements(1+g.IntN(4)), ",") + `]}`
		parsed, err := Parse("role", []byte(role), OfRole)
		if err != nil {
			t.Fatal(err)
		}
		simulation := map[string]any{
			"request": map[string]any{
				"principal": r.Principal, "action": r.Action, "contextVariables": r.Context,
				"resource": map[string]any{"resource": r.Resource, "accountId": "123456789012"},
			},
			"identityPolicies":        []any{map[string]any{"name": "role", "policy": json.RawMessage(role)}},
			"serviceControlPolicies":  []any{},
			"resourceControlPolicies": []any{},
		}
		var resource *Document
		if strings.HasPrefix(r.Action, "s3:") && g.IntN(2) == 0 {
			text := `{"Version":"2012-10-17","Statement":[` + g.principal(g.statement("")) + `]}`
			d, err := Parse("resource", []byte(text), OfResource)
			if err != nil {
				t.Fatal(err)
			}
			resource, simulation["resourcePolicy"] = &d, json.RawMessage(text)
		}
		asked, ours = append(asked, simulation), append(ours, Evaluate(r, []Document{parsed}, resource))
	}
	in, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/oracle.mjs", folder)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs []string
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) != cases {
		t.Fatal(len(theirs), err)
	}
	seen, different := map[string]int{}, 0
	for i := range ours {
		want := "ImplicitlyDenied"
		switch {
		case ours[i].Allowed:
			want = "Allowed"
		case ours[i].Denied != "":
			want = "ExplicitlyDenied"
		}
		seen[theirs[i]]++
		if theirs[i] != want {
			different++
			if different <= 5 {
				question, _ := json.Marshal(asked[i])
				t.Errorf("seed %d: we say %s, it says %s\n%s", i, want, theirs[i], question)
			}
		}
	}
	t.Logf("%d cases, %d differ: %v", cases, different, seen)
	for _, answer := range []string{"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"} {
		if seen[answer] < cases/20 {
			t.Errorf("only %d of the cases are %s: they show little", seen[answer], answer)
		}
	}
}

// generator makes requests and statements that meet often.
type generator struct {
	*rand.Rand
	about Request // the last one
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

const table = "arn:aws:dynamodb:us-east-1:123456789012:table/rows"

// kinds of requests: an action, its resource and the keys that it has.
func (g *generator) request() Request {
	r := Request{Principal: me, Context: map[string][]string{"aws:SecureTransport": {pick(g, "true", "true", "false")}}}
	switch g.IntN(4) {
	case 0:
		r.Action, r.Resource = pick(g, "s3:GetObject", "s3:PutObject", "s3:DeleteObject"), "arn:aws:s3:::bytes/"+pick(g, "o1", "o2x", "O1", "p/o1")
		if r.Action == "s3:PutObject" && g.IntN(2) == 0 {
			r.Context["s3:if-none-match"] = []string{"*"}
		}
	case 1:
		// The key s3:prefix is none of ListBucketMultipartUploads (Service Authorization Reference).
		r.Action, r.Resource = pick(g, "s3:ListBucket", "s3:ListBucketMultipartUploads"), "arn:aws:s3:::bytes"
		if r.Action == "s3:ListBucket" && g.IntN(2) == 0 {
			r.Context["s3:prefix"] = []string{pick(g, "o", "o/", "")}
		}
	case 2:
		r.Action, r.Resource = pick(g, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"), table
		if r.Action == "dynamodb:Query" && g.IntN(2) == 0 {
			r.Resource += "/index/due"
		}
		if g.IntN(2) == 0 {
			r.Context["dynamodb:LeadingKeys"] = []string{pick(g, "a", "b"), pick(g, "a", "c")}[:1+g.IntN(2)]
		}
	default:
		r.Action, r.Resource = "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:"+pick(g, "finalize", "gc")
	}
	g.about = r
	return r
}

func (g *generator) statements(n int) []string {
	var out []string
	for range n {
		out = append(out, g.statement(""))
	}
	return out
}

// statement makes one; effect "" is any, an Allow rather.
func (g *generator) statement(effect string) string {
	if effect == "" {
		effect = pick(g, "Allow", "Allow", "Deny")
	}
	actions := []string{pick(g, "s3:GetObject", "s3:Get*", "S3:*", "s3:PutObject", "s3:ListBucket*", "dynamodb:*Item", "dynamodb:Query",
		"dynamodb:PutItem", "lambda:InvokeFunction", "*", "s3:?etObject"), pick(g, "s3:getobject", "dynamodb:GetItem", "s3:DeleteObject", "lambda:Invoke*")}
	resources := []string{pick(g, "*", "arn:aws:s3:::bytes", "arn:aws:s3:::bytes/o*", "arn:aws:s3:::bytes/*", "arn:aws:s3:::*", "arn:aws:s3:::bytes/o?",
		table, table+"/index/*", "arn:aws:dynamodb:*:*:table/*", "arn:aws:lambda:us-east-1:123456789012:function:f*"), pick(g, "arn:aws:s3:::bytes/o1", table)}
	if g.IntN(2) == 0 { // so that it meets the request
		service, _, _ := strings.Cut(g.about.Action, ":")
		actions[0], resources[0] = pick(g, g.about.Action, service+":*"), pick(g, g.about.Resource, g.about.Resource, "*")
	}
	conditions := map[string]any{}
	if g.IntN(2) == 0 {
		switch g.IntN(8) {
		case 0:
			conditions["Bool"] = map[string]any{"aws:SecureTransport": pick(g, "true", "false")}
		case 1:
			conditions[pick(g, "StringEquals", "StringNotEquals")] = map[string]any{"s3:prefix": pick(g, "o", "")}
		case 2:
			conditions[pick(g, "StringLike", "StringNotLike")] = map[string]any{"s3:prefix": []string{pick(g, "o*", "*/"), "x"}}
		case 3:
			conditions[pick(g, "ForAllValues:StringEquals", "ForAnyValue:StringEquals")] = map[string]any{"dynamodb:LeadingKeys": []string{"a", pick(g, "b", "c")}}
		case 4:
			conditions["Null"] = map[string]any{pick(g, "dynamodb:LeadingKeys", "s3:prefix", "s3:if-none-match"): pick(g, "true", "false")}
		case 5:
			conditions["ForAllValues:StringLike"] = map[string]any{"dynamodb:LeadingKeys": "a*"}
			conditions["Null"] = map[string]any{"dynamodb:LeadingKeys": "false"}
		case 6:
			conditions[pick(g, "ArnEquals", "ArnLike")] = map[string]any{"aws:PrincipalArn": pick(g, me, "arn:aws:iam::123456789012:role/*")}
		default:
			conditions["Null"] = map[string]any{"s3:if-none-match": "false"}
			conditions["Bool"] = map[string]any{"aws:SecureTransport": "true"}
		}
	}
	text, err := json.Marshal(map[string]any{
		"Effect": effect, "Action": actions[:1+g.IntN(2)], "Resource": resources[:1+g.IntN(2)], "Condition": conditions,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// principal makes a resource's statement of a role's.
func (g *generator) principal(statement string) string {
	return fmt.Sprintf(`{"Principal":%s,%s`, pick(g, `"*"`, `{"AWS":"`+me+`"}`, `{"AWS":"arn:aws:iam::123456789012:role/you"}`), statement[1:])
}
