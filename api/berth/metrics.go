package berth

import "time"

// GetMetricsRequest asks for what was counted for a load balancer or a target group.
type GetMetricsRequest struct {
	// Subject is a load balancer (name, ARN or DNS name) or a target group (name or ARN).
	Subject string `json:"subject"`
	// Since is how many seconds back the first point begins, at most 15 days. Default 3600.
	Since int `json:"sinceSeconds,omitzero"`
	// Period is the length of one point in seconds, a multiple of 60. Default 300. There are at most 1440 points.
	Period int `json:"periodSeconds,omitzero"`
}

// GetMetricsResponse has the points of all metrics of the subject, ordered by namespace, name, dimensions and start.
type GetMetricsResponse struct {
	Subject string        `json:"subject"` // its ARN
	Period  int           `json:"periodSeconds"`
	Points  []MetricPoint `json:"points"`
}

// MetricPoint is one period of one metric, over all machines. There is none where nothing was counted.
type MetricPoint struct {
	Namespace   string            `json:"namespace"` // as in CloudWatch, like the name and the dimensions
	Name        string            `json:"name"`
	Dimensions  map[string]string `json:"dimensions"`
	Unit        string            `json:"unit"`
	Start       time.Time         `json:"start"`
	SampleCount float64           `json:"sampleCount"`
	Sum         float64           `json:"sum"`
	Minimum     float64           `json:"minimum"`
	Maximum     float64           `json:"maximum"`
}

// Average is the mean of all values.
func (p MetricPoint) Average() float64 { return p.Sum / p.SampleCount }
