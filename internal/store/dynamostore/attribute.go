// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tare/internal/store"
)

// item is an item of DynamoDB, or a key of one.
type item = map[string]types.AttributeValue

// encode makes an attribute value of a value that is one.
func encode(v store.Value) types.AttributeValue {
	switch v.Kind() {
	case store.KindInt:
		return number(v.Num())
	case store.KindBytes:
		return &types.AttributeValueMemberB{Value: []byte(v.Text())}
	}
	return &types.AttributeValueMemberS{Value: v.Text()}
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// decode reads an attribute value. One that no store.Value stands for is an error.
func decode(a types.AttributeValue) (store.Value, error) {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return store.String(a.Value), nil
	case *types.AttributeValueMemberB:
		return store.Bytes(string(a.Value)), nil
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(a.Value, 10, 64)
		if err != nil {
			return store.Value{}, fmt.Errorf("a number that is no 64-bit integer: %w", err)
		}
		return store.Int(n), nil
	}
	return store.Value{}, fmt.Errorf("an attribute of the type %T", a)
}

func encodeKey(k store.Key) item {
	return item{attrPK: &types.AttributeValueMemberS{Value: k.PK}, attrSK: &types.AttributeValueMemberS{Value: k.SK}}
}

// decodeKey reads the key of an item. DynamoDB keeps none whose key is not two strings.
func decodeKey(it item) (store.Key, error) {
	pk, ok := it[attrPK].(*types.AttributeValueMemberS)
	sk, also := it[attrSK].(*types.AttributeValueMemberS)
	if !ok || !also {
		return store.Key{}, fmt.Errorf("an item without key: %v", names(it))
	}
	return store.Key{PK: pk.Value, SK: sk.Value}, nil
}

// encodeRow makes the item of a row.
func encodeRow(k store.Key, r store.Row) item {
	it := encodeKey(k)
	for _, a := range r {
		it[a.Name] = encode(a.Value)
	}
	return it
}

// decodeRow reads the row of an item; nil where there is no item, which is one without attributes.
func decodeRow(it item) (store.Row, error) {
	if len(it) == 0 {
		return nil, nil
	}
	attrs := make([]store.Attr, 0, len(it))
	for name, a := range it {
		if name == attrPK || name == attrSK {
			continue
		}
		v, err := decode(a)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		attrs = append(attrs, store.Attr{Name: name, Value: v})
	}
	return store.NewRow(attrs...), nil
}

// names lists the attributes of an item that cannot be read.
func names(it item) string {
	var list []string
	for name := range it {
		list = append(list, name)
	}
	return strings.Join(list, " ")
}
