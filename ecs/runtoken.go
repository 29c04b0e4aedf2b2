package ecs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	api "berth/api/ecs"
	"berth/store"
)

// RunToken remembers what one clientToken of RunTask started. Written by: RunTask; removed by the reconciler.
type RunToken struct {
	Cluster string `json:"k"` // cluster key
	Token   string `json:"t"`
	// Hash is of the request, without the token.
	Hash     string        `json:"h"`
	Tasks    []string      `json:"i"`          // task IDs
	Failures []api.Failure `json:"f,omitzero"` // of the first answer
	Created  Millis        `json:"ct"`
}

// RunTokens has the client tokens that are still remembered.
var RunTokens = store.NewTable("ecs/runtoken", RunToken.Key)

// Key is account/region/cluster/token.
func (t RunToken) Key() string { return t.Cluster + "/" + t.Token }

// Tombstone stands for a task that was purged although its machine never said that it had stopped. A machine that
// comes back with the task is told to stop it. Written by: the reconciler.
type Tombstone struct {
	Task    string           `json:"k"` // task key
	Code    api.TaskStopCode `json:"sc,omitzero"`
	Reason  string           `json:"sr,omitzero"`
	Created Millis           `json:"ct"` // of the task
	Purged  Millis           `json:"pt"`
}

// Tombstones has the purged tasks that may still run somewhere.
var Tombstones = store.NewTable("ecs/tombstone", func(t Tombstone) string { return t.Task })

// requestHash is equal for equal requests.
func requestHash(in *api.RunTaskRequest) string {
	request := *in
	request.ClientToken = nil
	return hashOf(&request)
}

// hashOf is equal for equal requests without token.
func hashOf(request any) string {
	raw, err := json.Marshal(request)
	if err != nil {
		panic("unreachable: a decoded request can be encoded: " + err.Error())
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12])
}
