package placement

import (
	"slices"
	"strings"
)

// node is one place in a view's tree. The tree has one level per strategy and leaves below:
//
//	root ── by score (binpack, spread over instances): children in ascending order of the score
//	     └─ by group (spread over an attribute): children in the order of the attribute's value
//	leaf ── instances, by their ordinals, in ascending order
//
// Instances and children are kept in sorted slices: to shift a slice of 10,000 costs less than the cache
// misses of a balanced tree.
type node struct {
	parent  *node
	score   int64   // of this child in a level by score
	spot    *spot   // of this child in a level by group
	scores  []int64 // level by score: scores of kids
	kids    []*node
	members []int32 // leaf
}

// spot is one group of instances that share the values of the attributes that a view spreads over, up to
// some level. Its count is kept for all instances, whether they fit or not.
type spot struct {
	above *spot  // the level before
	value string // encoded: "-" without the attribute, "+value" with it
	tasks int
}

func (n *node) empty() bool { return len(n.kids) == 0 && len(n.members) == 0 }

// byScore returns the child with the score, made if missing.
func (n *node) byScore(score int64, fresh func() *node) *node {
	i, ok := slices.BinarySearch(n.scores, score)
	if !ok {
		kid := fresh()
		kid.parent, kid.score = n, score
		n.scores = slices.Insert(n.scores, i, score)
		n.kids = slices.Insert(n.kids, i, kid)
	}
	return n.kids[i]
}

// bySpot returns the child of the group, made if missing.
func (n *node) bySpot(s *spot, fresh func() *node) *node {
	i, ok := n.findSpot(s)
	if !ok {
		kid := fresh()
		kid.parent, kid.spot = n, s
		n.kids = slices.Insert(n.kids, i, kid)
	}
	return n.kids[i]
}

func (n *node) findSpot(s *spot) (int, bool) {
	return slices.BinarySearchFunc(n.kids, s, func(kid *node, s *spot) int {
		return strings.Compare(kid.spot.value, s.value)
	})
}

func (n *node) insert(ordinal int32) {
	i, _ := slices.BinarySearch(n.members, ordinal)
	n.members = slices.Insert(n.members, i, ordinal)
}

// remove takes an instance out of a leaf, and nodes that became empty out of their parents.
// Nodes taken out are handed to recycle.
func (n *node) remove(ordinal int32, recycle func(*node)) {
	i, _ := slices.BinarySearch(n.members, ordinal)
	n.members = slices.Delete(n.members, i, i+1)
	for n.parent != nil && n.empty() {
		up := n.parent
		if n.spot != nil {
			i, _ = up.findSpot(n.spot)
		} else {
			i, _ = slices.BinarySearch(up.scores, n.score)
			up.scores = slices.Delete(up.scores, i, i+1)
		}
		up.kids = slices.Delete(up.kids, i, i+1)
		recycle(n)
		n = up
	}
}

// best appends the children of the nodes that score lowest over all of them. It keeps their order.
func best(nodes []*node, grouped bool, out []*node) []*node {
	first := true
	var least int64
	for _, n := range nodes {
		if !grouped {
			if first || n.scores[0] < least {
				first, least, out = false, n.scores[0], out[:0]
			}
			if n.scores[0] == least {
				out = append(out, n.kids[0])
			}
			continue
		}
		for _, kid := range n.kids {
			score := int64(kid.spot.tasks)
			if first || score < least {
				first, least, out = false, score, out[:0]
			}
			if score == least {
				out = append(out, kid)
			}
		}
	}
	return out
}
