package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
	"berth/server"
)

func backupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a snapshot of the store to a file, while Berth runs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			err = cli.Progress(cmd.Context(), cmd.ErrOrStderr(), "writing "+args[0], func(ctx context.Context) error {
				return backup(ctx, c, args[0])
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Written to %s. It holds the access keys: keep it as you keep the data directory.\n", args[0])
			return nil
		},
	}
}

// backup leaves either a whole snapshot or no file.
func backup(ctx context.Context, c *cli.Client, path string) error {
	started, err := cli.Call[own.StartBackupResponse](ctx, c, cli.Own, "StartBackup", own.StartBackupRequest{})
	if err != nil {
		return err
	}
	body, err := c.Fetch(ctx, started.Path)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-")
	if err != nil {
		return &cli.Failure{What: "no file can be made in " + filepath.Dir(path), Cause: err.Error()}
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, body); err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func restoreCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a snapshot in the place of the store, while Berth does not run",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dataDir, err := filepath.Abs(o.dataDir)
			if err != nil {
				return err
			}
			lock, err := lockUp(dataDir)
			if err != nil {
				return err
			}
			defer lock.Close()
			if err := server.Restore(cmd.Context(), server.Config{DataDir: dataDir}, args[0]); err != nil {
				return &cli.Failure{What: "the snapshot was not restored", Cause: err.Error()}
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Restored. The store that was there before is kept beside it. Start again with: berth up --detach --data-dir", dataDir)
			return nil
		},
	}
}
