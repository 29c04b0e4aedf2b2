// Package lifecycle decides which images a lifecycle policy expires. It is pure.
//
// Source: ECR user guide, lifecycle policies: rules apply in the order of rulePriority; an image that fits the tag
// selection of a rule is left alone by all later rules; the counting rules keep the newest images.
package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy is a checked policy; rules are in the order of their priority.
type Policy struct {
	Rules []Rule `json:"rules"`
}

// Rule is one rule as written.
type Rule struct {
	Priority    int       `json:"rulePriority"`
	Description string    `json:"description"`
	Selection   Selection `json:"selection"`
	Action      struct {
		Type string `json:"type"`
	} `json:"action"`
}

// Selection says which images a rule is about.
type Selection struct {
	TagStatus   string   `json:"tagStatus"`
	TagPrefixes []string `json:"tagPrefixList"`
	TagPatterns []string `json:"tagPatternList"`
	CountType   string   `json:"countType"`
	CountUnit   string   `json:"countUnit"`
	CountNumber int      `json:"countNumber"`
}

const (
	moreThan    = "imageCountMoreThan"
	sincePushed = "sinceImagePushed"
	sincePulled = "sinceImagePulled"
)

// Parse reads and checks a policy.
func Parse(text string) (Policy, error) {
	var p Policy
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("the policy is not valid JSON of this form: %w", err)
	}
	if len(p.Rules) == 0 {
		return p, errors.New("the policy has no rules")
	}
	slices.SortStableFunc(p.Rules, func(a, b Rule) int { return a.Priority - b.Priority })
	for i, r := range p.Rules {
		if i > 0 && r.Priority == p.Rules[i-1].Priority {
			return p, fmt.Errorf("rulePriority %d is used twice", r.Priority)
		}
		if err := r.check(); err != nil {
			return p, fmt.Errorf("rule with rulePriority %d: %w", r.Priority, err)
		}
		if r.Selection.TagStatus == "any" && i != len(p.Rules)-1 {
			return p, errors.New("a rule with tagStatus 'any' must have the highest rulePriority")
		}
	}
	return p, nil
}

func (r Rule) check() error {
	s := r.Selection
	switch {
	case r.Priority < 1:
		return errors.New("rulePriority must be positive")
	case r.Action.Type != "expire":
		return fmt.Errorf("action type '%s' is not supported, only 'expire'", r.Action.Type)
	case s.CountNumber < 1:
		return errors.New("countNumber must be positive")
	case !slices.Contains([]string{"tagged", "untagged", "any"}, s.TagStatus):
		return fmt.Errorf("tagStatus '%s' is not one of tagged, untagged, any", s.TagStatus)
	case len(s.TagPrefixes) > 0 && len(s.TagPatterns) > 0:
		return errors.New("tagPrefixList and tagPatternList exclude each other")
	case s.TagStatus == "tagged" && len(s.TagPrefixes)+len(s.TagPatterns) == 0:
		return errors.New("tagStatus 'tagged' needs tagPrefixList or tagPatternList")
	case s.TagStatus != "tagged" && len(s.TagPrefixes)+len(s.TagPatterns) > 0:
		return errors.New("tagPrefixList and tagPatternList need tagStatus 'tagged'")
	}
	switch s.CountType {
	case moreThan:
		if s.CountUnit != "" {
			return errors.New("countUnit is not for imageCountMoreThan")
		}
	case sincePushed, sincePulled:
		if s.CountUnit != "days" {
			return errors.New("countUnit must be 'days'")
		}
	default:
		return fmt.Errorf("countType '%s' is not one of imageCountMoreThan, sinceImagePushed, sinceImagePulled", s.CountType)
	}
	return nil
}

// Image is what a policy looks at. Pulled is zero if the image was never pulled.
type Image struct {
	Digest         string
	Tags           []string
	Pushed, Pulled time.Time
}

func (i Image) lastPulled() time.Time {
	if i.Pulled.IsZero() {
		return i.Pushed
	}
	return i.Pulled
}

// Expired is an image that goes, and the priority of the rule that says so.
type Expired struct {
	Digest   string
	Priority int
}

// Plan is what a policy wants at a time. Again is when a further image becomes due if nothing changes; zero means never.
type Plan struct {
	Expire []Expired
	Again  time.Time
}

// Evaluate applies the policy to all images of a repository.
func Evaluate(p Policy, images []Image, now time.Time) Plan {
	var plan Plan
	taken := map[string]bool{}
	for _, r := range p.Rules {
		var fit []Image
		for _, i := range images {
			if !taken[i.Digest] && r.Selection.fits(i) {
				fit = append(fit, i)
			}
		}
		for _, i := range fit {
			taken[i.Digest] = true
		}
		r.expire(fit, now, &plan)
	}
	return plan
}

func (r Rule) expire(fit []Image, now time.Time, plan *Plan) {
	s := r.Selection
	if s.CountType == moreThan {
		slices.SortFunc(fit, func(a, b Image) int {
			if c := b.Pushed.Compare(a.Pushed); c != 0 {
				return c
			}
			return strings.Compare(a.Digest, b.Digest)
		})
		for _, i := range fit[min(s.CountNumber, len(fit)):] {
			plan.Expire = append(plan.Expire, Expired{i.Digest, r.Priority})
		}
		return
	}
	for _, i := range fit {
		since := i.Pushed
		if s.CountType == sincePulled {
			since = i.lastPulled()
		}
		due := since.Add(time.Duration(s.CountNumber) * 24 * time.Hour)
		if now.After(due) {
			plan.Expire = append(plan.Expire, Expired{i.Digest, r.Priority})
		} else if plan.Again.IsZero() || due.Before(plan.Again) {
			plan.Again = due
		}
	}
}

// fits says whether the image has the tag status, and a tag for each prefix or pattern.
func (s Selection) fits(i Image) bool {
	switch s.TagStatus {
	case "untagged":
		return len(i.Tags) == 0
	case "any":
		return true
	}
	if len(i.Tags) == 0 {
		return false
	}
	for _, p := range s.TagPrefixes {
		if !slices.ContainsFunc(i.Tags, func(t string) bool { return strings.HasPrefix(t, p) }) {
			return false
		}
	}
	for _, p := range s.TagPatterns {
		if !slices.ContainsFunc(i.Tags, func(t string) bool { return Wildcard(p, t) }) {
			return false
		}
	}
	return true
}

// Wildcard matches s against a pattern in which * stands for any characters, also none.
func Wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
