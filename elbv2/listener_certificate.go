package elbv2

import (
	"context"
	"fmt"
	"slices"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// AddListenerCertificates adds certificates that a listener chooses by the name that a client asks for.
func (s *Service) AddListenerCertificates(ctx context.Context, in *api.AddListenerCertificatesInput) (*api.AddListenerCertificatesOutput, error) {
	var out *api.AddListenerCertificatesOutput
	err := s.changeCertificates(ctx, in.ListenerArn, in.Certificates, func(tx *store.Tx, v *Listener) error {
		out = &api.AddListenerCertificatesOutput{Certificates: []api.Certificate{}}
		for _, c := range in.Certificates {
			arn, err := findCertificate(ctx, tx, c.CertificateArn)
			if err != nil {
				return err
			}
			if !slices.Contains(v.Certificates, arn) {
				v.Certificates = append(v.Certificates, arn)
			}
			out.Certificates = append(out.Certificates, api.Certificate{CertificateArn: new(arn), IsDefault: new(false)})
		}
		n := len(v.Certificates)
		for other := range Listeners.Prefix(tx, v.LoadBalancer+"/") {
			if other.ID != v.ID {
				n += len(other.Certificates)
			}
		}
		if n > maxCertificates {
			return aws.Errorf("TooManyCertificates", "A load balancer can have at most '%d' certificates besides the default ones", maxCertificates)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RemoveListenerCertificates removes such certificates; those that the listener does not have are ignored.
func (s *Service) RemoveListenerCertificates(ctx context.Context, in *api.RemoveListenerCertificatesInput) (*api.RemoveListenerCertificatesOutput, error) {
	err := s.changeCertificates(ctx, in.ListenerArn, in.Certificates, func(_ *store.Tx, v *Listener) error {
		for _, c := range in.Certificates {
			arn := aws.Value(c.CertificateArn)
			i := slices.Index(v.Certificates, arn)
			if i < 0 && arn == v.Certificate {
				return aws.Errorf(codeNotPermitted, "The default certificate '%s' cannot be removed", arn)
			}
			if i >= 0 {
				v.Certificates = slices.Delete(v.Certificates, i, i+1)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.RemoveListenerCertificatesOutput{}, nil
}

func (s *Service) changeCertificates(ctx context.Context, listener *string, named []api.Certificate, change func(*store.Tx, *Listener) error) error {
	if len(named) == 0 {
		return invalid("A certificate must be specified")
	}
	for _, c := range named {
		if c.IsDefault != nil {
			return invalid("You cannot set IsDefault when specifying a certificate as an input")
		}
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findListener(ctx, tx, listener)
		if err != nil {
			return err
		}
		if !v.secure() {
			return configuration("Certificates cannot be specified for %s listeners", v.Protocol)
		}
		v.Certificates = slices.Clone(v.Certificates)
		if err := change(tx, &v); err != nil {
			return err
		}
		Listeners.Put(tx, v)
		return nil
	})
}

// DescribeListenerCertificates shows the default certificate, then the others.
func (s *Service) DescribeListenerCertificates(ctx context.Context, in *api.DescribeListenerCertificatesInput) (*api.DescribeListenerCertificatesOutput, error) {
	v, err := findListener(ctx, s.Store.Read(), in.ListenerArn)
	if err != nil {
		return nil, err
	}
	var all []api.Certificate
	if v.Certificate != "" {
		all = append(all, api.Certificate{CertificateArn: new(v.Certificate), IsDefault: new(true)})
	}
	for _, arn := range slices.Sorted(slices.Values(v.Certificates)) {
		all = append(all, api.Certificate{CertificateArn: new(arn), IsDefault: new(false)})
	}
	place := func(c api.Certificate) string { return fmt.Sprint(!*c.IsDefault, *c.CertificateArn) } // false sorts first
	scope := scopeOf("DescribeListenerCertificates", aws.CallerFrom(ctx)) + *in.ListenerArn
	page, next, err := paged(s, scope, in.Marker, in.PageSize, all, place)
	if err != nil {
		return nil, err
	}
	return &api.DescribeListenerCertificatesOutput{Certificates: page, NextMarker: next}, nil
}
