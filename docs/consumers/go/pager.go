package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// clearedMax bounds the cleared incidents whose sequence is remembered, so that a late duplicate is known for one.
const clearedMax = 10_000

// Incident has the fields that a pager needs; all others are ignored.
type Incident struct {
	ID         string `json:"incident_id"`
	Generation int64  `json:"generation"`
	Sequence   int64  `json:"sequence"`
	Change     string `json:"change,omitempty"`
	Severity   string `json:"severity"`
	Family     string `json:"family"`
	Title      string `json:"title"`
	Drill      bool   `json:"drill"`
}

// Action is what a pager must be told.
type Action struct {
	Action string `json:"action"`
	Incident
}

// parse returns the incident in a message, or nil when it is not one.
func parse(value []byte) *Incident {
	incident := Incident{Family: "other"}
	err := json.Unmarshal(value, &incident)
	if err == nil && (incident.ID == "" || incident.Generation < 1 || incident.Sequence < 1 || incident.Change == "" || incident.Severity == "") {
		err = errors.New("a field is missing")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "skipped a record that is not an incident:", err)
		return nil
	}
	return &incident
}

// Pager holds what is known of each incident, and what the pager was told.
type Pager struct {
	open    map[string]*Incident
	cleared map[string]int64  // last sequence
	oldest  []*Incident       // in the order in which they cleared
	told    map[string]string // worst severity paged since it opened
}

func newPager() *Pager {
	return &Pager{open: map[string]*Incident{}, cleared: map[string]int64{}, told: map[string]string{}}
}

// learn takes a record in. It returns false if that is no news: a duplicate, or older than what is known.
func (p *Pager) learn(incident *Incident) bool {
	sequence := p.cleared[incident.ID]
	if known := p.open[incident.ID]; known != nil {
		sequence = known.Sequence
	}
	if incident.Sequence <= sequence {
		return false
	}
	if incident.Change != "cleared" {
		delete(p.cleared, incident.ID)
		p.open[incident.ID] = incident
		return true
	}
	delete(p.open, incident.ID)
	p.cleared[incident.ID] = incident.Sequence
	p.oldest = append(p.oldest, incident)
	if len(p.oldest) > clearedMax {
		// Unless it has opened and cleared again since, which put it further back.
		if first := p.oldest[0]; p.cleared[first.ID] == first.Sequence {
			delete(p.cleared, first.ID)
		}
		p.oldest = p.oldest[1:]
	}
	return true
}

// act returns what the pager must be told, given the last record of an incident.
func (p *Pager) act(incident *Incident) Action {
	action := "update"
	switch {
	case incident.Change == "cleared":
		// Also when nothing was paged by this process: an earlier one may have.
		delete(p.told, incident.ID)
		action = "resolve"
	case incident.Severity <= "sev2":
		if paged, known := p.told[incident.ID]; !known || incident.Severity < paged {
			p.told[incident.ID] = incident.Severity
			action = "page"
		}
	}
	said := *incident
	said.Change = "" // the action says it
	return Action{action, said}
}
