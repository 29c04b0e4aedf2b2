package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// client calls ECS over HTTP. It does less than an SDK, so that the machine's time goes to what is measured.
type client struct {
	http             *http.Client
	endpoint, region string
	credentials      aws.Credentials
}

func newClient(endpoint, region, key, secret string) *client {
	return &client{
		http:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}, Timeout: 2 * time.Minute},
		endpoint: endpoint, region: region, credentials: aws.Credentials{AccessKeyID: key, SecretAccessKey: secret},
	}
}

// sign makes the header of a request with this body. It stays good for some minutes and for many requests.
func (c *client) sign(ctx context.Context, op string, body []byte) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+op)
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(ctx, c.credentials, req, hex.EncodeToString(sum[:]), "ecs", c.region, time.Now())
	return req.Header, err
}

// send posts a signed body and returns the answer.
func (c *client) send(ctx context.Context, url string, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, err
}

// call does one operation.
func (c *client) call(ctx context.Context, op string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	header, err := c.sign(ctx, op, body)
	if err != nil {
		return err
	}
	answer, err := c.send(ctx, c.endpoint+"/", header, body)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
