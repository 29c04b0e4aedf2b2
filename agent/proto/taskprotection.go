package proto

import ecs "berth/api/ecs"

// PathTaskProtection takes a TaskProtection and answers with a TaskProtectionAnswer.
const PathTaskProtection = "/agent/v1/task-protection"

// TaskProtection asks for the protection of a task on behalf of the task itself. With ProtectionEnabled it is set first.
type TaskProtection struct {
	Task              string `json:"task"` // ARN; the server checks that it is placed on this machine
	ProtectionEnabled *bool  `json:"protectionEnabled,omitzero"`
	ExpiresInMinutes  *int32 `json:"expiresInMinutes,omitzero"`
}

// TaskProtectionAnswer is what the API said of the task. Exactly one of Protection, Failure and Error is set.
type TaskProtectionAnswer struct {
	RequestID  string             `json:"requestId"`
	Protection *ecs.ProtectedTask `json:"protection,omitzero"`
	Failure    *ecs.Failure       `json:"failure,omitzero"`
	Error      *APIError          `json:"error,omitzero"`
}

// APIError is an error as an API answers it.
type APIError struct {
	Status  int    `json:"status"` // of HTTP
	Code    string `json:"code"`
	Message string `json:"message"`
}
