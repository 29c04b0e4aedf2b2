package store

import (
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"strings"
)

// AnyTable is a *Table[T] of any T.
type AnyTable interface {
	Name() string
	descriptor() *descriptor
}

// descriptor is what the store knows of a table. Immutable.
type descriptor struct {
	name     string
	key      func(any) string
	indexes  []index
	version  int
	ownField bool // the record has a JSON field "v" of its own
	decode   func(version int, raw []byte) (any, error)
}

type index struct {
	name   string
	values func(any) []string
}

// Table is the immutable description of a table whose records are of type T, a struct. Its methods read and
// write through a Reader or a Tx; the table itself holds nothing, so one Table serves any number of stores.
type Table[T any] struct {
	d *descriptor
}

// Option is an index or a version of a table.
type Option[T any] struct {
	index   *index
	version int
	upgrade func(from int, raw []byte) (T, error)
}

// Index makes records findable by the values that the function gives for them: none, one or several. Values
// must not contain a NUL byte. The function must be pure.
func Index[T any](name string, values func(T) []string) Option[T] {
	return Option[T]{index: &index{name: name, values: func(v any) []string { return values(v.(T)) }}}
}

// Version sets the version that records are written with (1 without this option). upgrade turns the JSON of an
// older version into a record. A record of a newer version is never read: Open fails with a *VersionError.
func Version[T any](n int, upgrade func(from int, raw []byte) (T, error)) Option[T] {
	return Option[T]{version: n, upgrade: upgrade}
}

var tableName = regexp.MustCompile(`^[a-z0-9-]+(/[a-z0-9-]+)*$`)

// NewTable describes a table. name is lower-case words with slashes ("ecs/task"); key gives a record's primary
// key, which must not be empty. It panics on a wrong description, as it is meant for package variables.
func NewTable[T any](name string, key func(T) string, options ...Option[T]) *Table[T] {
	typ := reflect.TypeFor[T]()
	if !tableName.MatchString(name) || typ.Kind() != reflect.Struct {
		panic(fmt.Sprintf("store: table %q of %s: want a lower-case name and a struct", name, typ))
	}
	d := &descriptor{name: name, version: 1, key: func(v any) string { return key(v.(T)) }, ownField: hasVersionField(typ)}
	var upgrade func(from int, raw []byte) (T, error)
	for _, o := range options {
		if o.index != nil {
			d.indexes = append(d.indexes, *o.index)
		}
		if o.version > 0 {
			d.version, upgrade = o.version, o.upgrade
		}
	}
	d.decode = decoder(d, upgrade)
	return &Table[T]{d: d}
}

func hasVersionField(typ reflect.Type) bool {
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name == "v" {
			return true
		}
	}
	return false
}

// Name is the table's name.
func (t *Table[T]) Name() string { return t.d.name }

func (t *Table[T]) descriptor() *descriptor { return t.d }

// Key is the record's primary key.
func (t *Table[T]) Key(v T) string { return t.d.key(v) }

// Get returns the record with the key.
func (t *Table[T]) Get(r Reader, key string) (T, bool) {
	if row := r.get(t.d, key); row != nil {
		return row.value.(T), true
	}
	var zero T
	return zero, false
}

// Revision is that of the commit which wrote the record with the key as it is: at a Snapshot of this or a higher Revision it is so. It is 0
// while the record is not durable yet, which only a Tx sees, and if there is none.
func (t *Table[T]) Revision(r Reader, key string) int64 {
	if row := r.get(t.d, key); row != nil {
		return row.revision.Load()
	}
	return 0
}

// All yields every record in order of keys.
func (t *Table[T]) All(r Reader) iter.Seq[T] { return t.From(r, "", "") }

// Prefix yields the records whose keys begin with prefix, in order of keys.
func (t *Table[T]) Prefix(r Reader, prefix string) iter.Seq[T] { return t.From(r, prefix, "") }

// From yields the records whose keys begin with prefix and come after afterKey, in order of keys. It starts in
// logarithmic time, so a page costs the same wherever it is.
func (t *Table[T]) From(r Reader, prefix, afterKey string) iter.Seq[T] {
	from := prefix
	if afterKey != "" && afterKey >= prefix {
		from = afterKey + "\x00"
	}
	return func(yield func(T) bool) {
		r.scan(t.d, prefix, from, func(row *row) bool { return yield(row.value.(T)) })
	}
}

// By yields the records that have the value in the index, in order of keys.
func (t *Table[T]) By(r Reader, index, value string) iter.Seq[T] {
	return t.ByFrom(r, index, value, "")
}

// ByFrom is By for the records whose keys come after afterKey.
func (t *Table[T]) ByFrom(r Reader, index, value, afterKey string) iter.Seq[T] {
	i := t.d.indexOf(index)
	return func(yield func(T) bool) {
		r.by(t.d, i, value, afterKey, func(row *row) bool { return yield(row.value.(T)) })
	}
}

// Len is the number of records.
func (t *Table[T]) Len(r Reader) int { return r.count(t.d, -1, "") }

// CountBy is the number of records that have the value in the index, in logarithmic time.
func (t *Table[T]) CountBy(r Reader, index, value string) int {
	return r.count(t.d, t.d.indexOf(index), value)
}

// Put writes the record in place of the one with its key, if any. A record that can't be encoded makes Update
// fail.
func (t *Table[T]) Put(tx *Tx, v T) { tx.put(t.d, v) }

// Delete removes the record with the key; no such record is no error.
func (t *Table[T]) Delete(tx *Tx, key string) { tx.delete(t.d, key) }

// Change gives the change's records with their type, nil where there is none; ok is false if it is of another
// table.
func (t *Table[T]) Change(c Change) (old, new *T, ok bool) {
	if c.Table != t.d.name {
		return nil, nil, false
	}
	if v, is := c.Old.(T); is {
		old = &v
	}
	if v, is := c.New.(T); is {
		new = &v
	}
	return old, new, true
}

func (d *descriptor) indexOf(name string) int {
	for i := range d.indexes {
		if d.indexes[i].name == name {
			return i
		}
	}
	panic(fmt.Sprintf("store: table %s has no index %q", d.name, name))
}
