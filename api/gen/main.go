// Command gen makes the API packages of Berth.
//
//	go run ./api/gen                       models/*.json -> api/<service>/*.gen.go
//	go run ./api/gen import DIR [SERVICE]  botocore's service-2.json[.gz] below DIR -> models/<service>.json
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	api, err := apiFolder()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if args[0] != "import" || len(args) < 2 {
			return errors.New("usage: gen [import DIR [SERVICE...]]")
		}
		return importModels(api, args[1], args[2:])
	}
	models, err := filepath.Glob(filepath.Join(api, "models", "*.json"))
	if err != nil {
		return err
	}
	for _, path := range models {
		m, err := readModel(path)
		if err != nil {
			return err
		}
		if err := emit(m, api); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// apiFolder finds api/ from any folder of the checkout.
func apiFolder() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "api"), nil
		}
	}
	return "", errors.New("run me inside the checkout")
}
