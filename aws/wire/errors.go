package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"

	"berth/aws"
)

// writeError is the only place where errors become answers. What is not an *aws.Error is internal: logged here, once,
// and shown without its text.
func (f *frontDoor) writeError(c *call, err error) {
	if c.w.status != 0 {
		f.Log.Warn("answer broke off", "request", c.id, "op", c.op, "err", err)
		return
	}
	e, ok := errors.AsType[*aws.Error](err)
	if !ok {
		f.internal(c, err)
		return
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
		if api := c.api(); api != nil {
			status = api.Status(e.Code)
		}
	}
	f.writeErrorBody(c, e, status)
}

// internal logs an error that is not the caller's and answers without its text.
func (f *frontDoor) internal(c *call, err error) {
	if c.r.Context().Err() != nil {
		f.Log.Info("client left before the answer", "request", c.id, "op", c.op, "err", err)
		f.writeInternal(c)
		return
	}
	if f.Unavailable != nil {
		if text, ok := f.Unavailable(err); ok {
			f.Log.Warn("request refused for now", "request", c.id, "op", c.op, "err", err)
			f.writeErrorBody(c, &aws.Error{Code: serverCode(c.api(), "ServiceUnavailable", "Unavailable"), Message: text}, http.StatusServiceUnavailable)
			return
		}
	}
	f.Log.Error("request failed", "request", c.id, "op", c.op, "err", err)
	f.writeInternal(c)
}

func (f *frontDoor) writeInternal(c *call) {
	if c.w.status != 0 {
		return
	}
	code := serverCode(c.api(), "InternalFailure", "InternalError")
	f.writeErrorBody(c, aws.Errorf(code, "Service Unavailable. Please try again later."), http.StatusInternalServerError)
}

// serverCode is ServerException where the service has it, else the common code, which EC2 spells in its own way.
func serverCode(api *aws.API, common, ec2 string) string {
	switch {
	case api == nil:
		return common
	case api.Protocol == aws.EC2:
		return ec2
	case api.Has("ServerException"):
		return "ServerException"
	}
	return common
}

func (f *frontDoor) writeErrorBody(c *call, e *aws.Error, status int) {
	c.code = e.Code
	s3 := c.service == nil && scopeService(c.r) == "s3"
	xmlForm := isXML(c.api()) || s3 || c.service == nil && c.r.Header.Get("X-Amz-Target") == "" && isForm(c.r)
	if xmlForm {
		writeBody(c, "text/xml;charset=UTF-8", status, xmlError(c, e, status))
		return
	}
	body := map[string]any{}
	for k, v := range e.Fields {
		body[k] = v
	}
	body["__type"], body["message"] = e.Code, e.Message
	data, err := marshal(body)
	if err != nil {
		f.Log.Error("error fields can not be encoded", "request", c.id, "op", c.op, "err", err)
		data = []byte(`{"__type":"InternalFailure"}`)
	}
	c.w.Header().Set("x-amzn-ErrorType", e.Code)
	writeBody(c, jsonType(c.api()), status, data)
}

// xmlError has the forms that SDKs parse: ErrorResponse of Query services, Response of EC2, and the bare Error of S3.
func xmlError(c *call, e *aws.Error, status int) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	detail := func(extra string) {
		b.WriteString("<Error>" + extra)
		element(&b, "Code", e.Code)
		element(&b, "Message", e.Message)
		for name, v := range e.Fields {
			if s, ok := v.(string); ok {
				element(&b, name, s)
			}
		}
		b.WriteString("</Error>")
	}
	api := c.api()
	if api == nil && scopeService(c.r) == "s3" {
		detail("")
		return b.Bytes()
	}
	if api != nil && api.Protocol == aws.EC2 {
		b.WriteString("<Response><Errors>")
		detail("")
		b.WriteString("</Errors>")
		element(&b, "RequestID", c.id)
		b.WriteString("</Response>")
		return b.Bytes()
	}
	b.WriteString("<ErrorResponse")
	if api != nil {
		b.WriteString(` xmlns="` + api.XMLNamespace + `"`)
	}
	b.WriteString(">")
	if status >= http.StatusInternalServerError {
		detail("<Type>Receiver</Type>")
	} else {
		detail("<Type>Sender</Type>")
	}
	element(&b, "RequestId", c.id)
	b.WriteString("</ErrorResponse>")
	return b.Bytes()
}

func element(b *bytes.Buffer, name, text string) {
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
	b.WriteString("</" + name + ">")
}
