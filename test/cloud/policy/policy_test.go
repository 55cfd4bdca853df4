// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const me = "arn:aws:iam::123456789012:role/me"

// doc makes a document of statements.
func doc(t *testing.T, of Of, statements ...string) Document {
	t.Helper()
	d, err := Parse("p", []byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`), of)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEvaluate(t *testing.T) {
	const get = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/o*"}`
	keyed := func(condition string) string {
		return `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{` + condition + `}}`
	}
	for _, c := range []struct {
		name, statement  string
		action, resource string
		context          map[string][]string
		want             bool
	}{
		{"allowed", get, "s3:GetObject", "arn:aws:s3:::b/o1", nil, true},
		{"another action", get, "s3:PutObject", "arn:aws:s3:::b/o1", nil, false},
		{"another key", get, "s3:GetObject", "arn:aws:s3:::b/x", nil, false},
		{"the bucket is not its objects", get, "s3:GetObject", "arn:aws:s3:::b", nil, false},
		{"actions have no case", get, "S3:getobject", "arn:aws:s3:::b/o1", nil, true},
		{"resources have case", get, "s3:GetObject", "arn:aws:s3:::b/O1", nil, false},
		{"actions with a wildcard", `{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}`, "s3:GetObjectAcl", "arn:aws:s3:::b/o1", nil, true},
		{"one character", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/?"}`, "s3:GetObject", "arn:aws:s3:::b/12", nil, false},
		{"a wildcard stays in its segment", `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:*:function:f"}`,
			"lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:f", nil, false},
		{"colons in the last segment", `{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"arn:aws:logs:us-east-1:123456789012:log-group:g:*"}`,
			"logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:s", nil, true},
		{"an index is not its table", `{"Effect":"Allow","Action":"dynamodb:Query","Resource":"arn:aws:dynamodb:us-east-1:123456789012:table/t"}`,
			"dynamodb:Query", "arn:aws:dynamodb:us-east-1:123456789012:table/t/index/due", nil, false},
		{"equal", keyed(`"StringEquals":{"s3:prefix":["a","b"]}`), "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"S3:Prefix": {"b"}}, true},
		{"values have case", keyed(`"StringEquals":{"s3:prefix":"a"}`), "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"s3:prefix": {"A"}}, false},
		{"absent is not equal", keyed(`"StringEquals":{"s3:prefix":"a"}`), "s3:GetObject", "arn:aws:s3:::b/o", nil, false},
		{"absent is unequal", keyed(`"StringNotEquals":{"s3:prefix":"a"}`), "s3:GetObject", "arn:aws:s3:::b/o", nil, true},
		{"two conditions", keyed(`"StringEquals":{"s3:prefix":"a","s3:delimiter":"/"}`), "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"s3:prefix": {"a"}}, false},
		{"like", keyed(`"StringLike":{"s3:prefix":"a*z"}`), "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"s3:prefix": {"abcz"}}, true},
		{"bool", keyed(`"Bool":{"aws:SecureTransport":true}`), "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"aws:SecureTransport": {"true"}}, true},
		{"null of absent", keyed(`"Null":{"s3:prefix":"true"}`), "s3:GetObject", "arn:aws:s3:::b/o", nil, true},
		{"null of present", keyed(`"Null":{"s3:prefix":"true"}`), "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"s3:prefix": {"a"}}, false},
		{"all of them", keyed(`"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["a","b"]}`), "s3:GetObject", "arn:aws:s3:::b/o",
			map[string][]string{"dynamodb:LeadingKeys": {"a", "b", "a"}}, true},
		{"not all of them", keyed(`"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["a"]}`), "s3:GetObject", "arn:aws:s3:::b/o",
			map[string][]string{"dynamodb:LeadingKeys": {"a", "c"}}, false},
		{"all of none", keyed(`"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["a"]}`), "s3:GetObject", "arn:aws:s3:::b/o", nil, true},
		{"all of none, which is guarded", keyed(`"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["a"]},"Null":{"dynamodb:LeadingKeys":"false"}`),
			"s3:GetObject", "arn:aws:s3:::b/o", nil, false},
		{"any of none", keyed(`"ForAnyValue:StringEquals":{"dynamodb:LeadingKeys":["a"]}`), "s3:GetObject", "arn:aws:s3:::b/o", nil, false},
	} {
		d := Evaluate(Request{me, c.action, c.resource, c.context}, []Document{doc(t, OfRole, c.statement)}, nil)
		if d.Allowed != c.want || d.Denied != "" || c.want != (len(d.Uses) > 0) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestDenyWins(t *testing.T) {
	allow := doc(t, OfRole, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	tls := doc(t, OfResource, `{"Sid":"OnlyTLS","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],
		"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`)
	r := Request{me, "s3:GetObject", "arn:aws:s3:::b/o", map[string][]string{"aws:SecureTransport": {"true"}}}
	if d := Evaluate(r, []Document{allow}, &tls); !d.Allowed {
		t.Errorf("with TLS: %+v", d)
	}
	r.Context = map[string][]string{"aws:SecureTransport": {"false"}}
	if d := Evaluate(r, []Document{allow}, &tls); d.Allowed || d.Denied != "p/OnlyTLS" || d.Uses != nil {
		t.Errorf("without: %+v", d)
	}
}

func TestResourcePolicy(t *testing.T) {
	for principal, want := range map[string]bool{
		`"*"`: true, `{"AWS":"*"}`: true, `{"AWS":"` + me + `"}`: true,
		`{"AWS":"arn:aws:iam::123456789012:role/you"}`: false, `{"Service":"events.amazonaws.com"}`: false,
	} {
		p := doc(t, OfResource, `{"Effect":"Allow","Principal":`+principal+`,"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`)
		if d := Evaluate(Request{me, "s3:GetObject", "arn:aws:s3:::b/o", nil}, nil, &p); d.Allowed != want {
			t.Errorf("%s: %+v", principal, d)
		}
	}
}

func TestUses(t *testing.T) {
	d := doc(t, OfRole, `{"Sid":"A","Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::b/*"}`,
		`{"Sid":"B","Effect":"Allow","Action":"s3:Get*","Resource":"*"}`)
	got := Evaluate(Request{me, "s3:GetObject", "arn:aws:s3:::b/o", nil}, []Document{d}, nil).Uses
	want := []Use{{"p/A", "s3:GetObject", "arn:aws:s3:::b/*"}, {"p/B", "s3:Get*", "*"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if all := d.Permissions(); len(all) != 3 {
		t.Errorf("%v", all)
	}
}

func TestUnknown(t *testing.T) {
	for _, statement := range []string{
		`{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}`,
		`{"Effect":"Allow","Action":"s3:*","NotResource":"*"}`,
		`{"Effect":"Allow","Action":"s3:*"}`,
		`{"Effect":"allow","Action":"s3:*","Resource":"*"}`,
		`{"Effect":"Allow","Action":"s3","Resource":"*"}`,
		`{"Effect":"Allow","Action":"s*:Get","Resource":"*"}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/*"}`,
		`{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEqualsIgnoreCase":{"s3:prefix":"a"}}}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEqualsIfExists":{"s3:prefix":"a"}}}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"ForAllValues:Bool":{"s3:prefix":"true"}}}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Null":{"s3:prefix":"maybe"}}}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"s3:prefix":[]}}}`,
		`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"s3:prefix":"${aws:userid}"}}}`,
		`{"Effect":"Allow","Action":{"x":1},"Resource":"*"}`,
	} {
		if _, err := Parse("p", []byte(`{"Version":"2012-10-17","Statement":`+statement+`}`), OfRole); err == nil {
			t.Errorf("%s: taken", statement)
		}
	}
	for _, text := range []string{``, `{}`, `{"Statement":[]}`, `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		`{"Version":"2012-10-17","Statement":[]}`, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]} x`,
		`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}]}`} {
		if _, err := Parse("p", []byte(text), OfRole); err == nil {
			t.Errorf("%s: taken", text)
		}
	}
}

func TestKeys(t *testing.T) {
	d := doc(t, OfRole, `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Null":{"s3:Prefix":"true"},"StringLike":{"s3:prefix":"a","aws:X":"b"}}}`)
	if got := fmt.Sprint(d.Keys()); got != "[s3:prefix aws:x]" {
		t.Error(got)
	}
}

// What must hold of all policies: nothing is allowed by nothing; to add an Allow takes nothing away, to add a Deny gives
// nothing; and the order of statements is nothing.
func TestLaws(t *testing.T) {
	for seed := range uint64(3000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 5))}
		r := g.request()
		statements := g.statements(1 + g.IntN(4))
		all := Evaluate(r, []Document{doc(t, OfRole, statements...)}, nil)
		slices.Reverse(statements)
		if back := Evaluate(r, []Document{doc(t, OfRole, statements...)}, nil); back.Allowed != all.Allowed {
			t.Fatalf("seed %d: the order counts", seed)
		}
		more := Evaluate(r, []Document{doc(t, OfRole, append(slices.Clone(statements), g.statement("Allow"))...)}, nil)
		less := Evaluate(r, []Document{doc(t, OfRole, append(slices.Clone(statements), g.statement("Deny"))...)}, nil)
		if all.Allowed && !more.Allowed || !all.Allowed && less.Allowed {
			t.Fatalf("seed %d: %v, with an Allow more %v, with a Deny more %v", seed, all.Allowed, more.Allowed, less.Allowed)
		}
		var denials []string
		for _, s := range statements {
			if strings.Contains(s, `"Deny"`) {
				denials = append(denials, s)
			}
		}
		if len(denials) == len(statements) && all.Allowed {
			t.Fatalf("seed %d: denials allow", seed)
		}
	}
}
