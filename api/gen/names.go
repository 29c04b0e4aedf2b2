package main

import (
	"strings"
	"unicode"
)

// exported is a model name with an upper-case first letter.
func exported(name string) string {
	if name == "" {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// upperWords keep their case in the names of enum constants.
const upperWords = " EC2 ECS ECR CPU GPU TCP UDP TLS HTTP HTTPS HTTP1 HTTP2 GRPC VPC EBS EFS IPC PID AWS KMS ARN ID IP IPV4 IPV6 ARM64 X86 OK AZ DNS IAM S3 SSM SNS SQS JSON CSV TTL KIB MIB GIB AMI AES256 CIDR ENI NAT ACL URL OS RSA OCI SBOM CVE "

// constant names an enum value: LaunchType and FARGATE give LaunchTypeFargate, tASK_definition-X gives TaskDefinitionX.
func constant(typeName, value string) string {
	words := strings.FieldsFunc(value, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var b strings.Builder
	b.WriteString(typeName)
	for i, w := range words {
		if i > 0 && isDigit(w[0]) && isDigit(words[i-1][len(words[i-1])-1]) {
			b.WriteByte('x')
		}
		switch {
		case strings.Contains(upperWords, " "+w+" "):
			b.WriteString(w)
		case w == strings.ToUpper(w):
			b.WriteString(w[:1] + strings.ToLower(w[1:]))
		default:
			b.WriteString(exported(w))
		}
	}
	if len(words) == 0 {
		b.WriteString("Empty")
	}
	return b.String()
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
