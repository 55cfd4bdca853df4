// SPDX-License-Identifier: Apache-2.0

// Package disk makes file systems that lose power, fill up, or stand on less than they promise. All of them are ext4 on
// a loop device, which takes root, Linux and the programs mkfs.ext4, e2fsck and mount.
package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is a file system in a file.
type Disk struct {
	Root string // where it is mounted

	image string
	below string // a file system in memory that holds the image, where the disk is thin
}

// New makes and mounts a file system of some size, with all that belongs to it in a new folder.
func New(folder string, size int64) (*Disk, error) {
	d := &Disk{Root: filepath.Join(folder, "root"), image: filepath.Join(folder, "image")}
	for _, dir := range []string{folder, d.Root} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return d, d.format(size)
}

// NewThin makes and mounts a file system that says to have size bytes, and stands on a store in memory of fewer. When
// that is full, what is written is lost, and who syncs is told so once.
func NewThin(folder string, size, store int64) (*Disk, error) {
	d := &Disk{Root: filepath.Join(folder, "root"), below: filepath.Join(folder, "store")}
	d.image = filepath.Join(d.below, "image")
	for _, dir := range []string{folder, d.Root, d.below} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := unix.Mount("tmpfs", d.below, "tmpfs", 0, "size="+strconv.FormatInt(store, 10)); err != nil {
		return nil, fmt.Errorf("mounting a file system in memory: %w", err)
	}
	return d, d.format(size)
}

func (d *Disk) format(size int64) error {
	f, err := os.Create(d.image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := run("mkfs.ext4", "-q", "-F", "-m", "0", d.image); err != nil {
		return err
	}
	return d.Mount()
}

func run(name string, arguments ...string) error {
	out, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Mount mounts the file system, which replays its log.
func (d *Disk) Mount() error {
	return run("mount", "-t", "ext4", "-o", "loop,noatime", d.image, d.Root)
}

// Unmount unmounts it. Nobody may use it.
func (d *Disk) Unmount() error {
	for range 100 {
		err := unix.Unmount(d.Root, 0)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(20 * time.Millisecond) // the kernel takes a moment to let go of what a killed process had open
	}
	return unix.Unmount(d.Root, 0)
}

// Repair has e2fsck mend what it does without asking.
func (d *Disk) Repair() error {
	err := run("e2fsck", "-p", d.image)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // errors were corrected
		return nil
	}
	return err
}

// Close unmounts everything that is mounted. It does not mind what is not.
func (d *Disk) Close() error {
	err := ignore(d.Unmount(), unix.EINVAL)
	if d.below != "" {
		err = errors.Join(err, ignore(unix.Unmount(d.below, 0), unix.EINVAL))
	}
	return err
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// What linux/fs/ext4/ext4.h calls EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH.
const (
	iocShutdown = 0x8004587d
	noLogFlush  = 2
)

// Cut cuts the power: nothing reaches the disk from now on, and what was not synced is lost.
func (d *Disk) Cut() error {
	f, err := os.Open(d.Root)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), iocShutdown, noLogFlush)
}

// Fill takes all room that the file system has left.
func (d *Disk) Fill() (empty func() error, err error) { return fill(filepath.Join(d.Root, "filler")) }

// Starve takes all room that a thin disk's store has left.
func (d *Disk) Starve() (feed func() error, err error) { return fill(filepath.Join(d.below, "filler")) }

// fill writes a file until there is no room for another page.
func fill(path string) (empty func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	for block := make([]byte, 1<<20); ; {
		_, err := f.Write(block)
		if err == nil {
			continue
		}
		if !errors.Is(err, unix.ENOSPC) {
			return nil, errors.Join(err, f.Close())
		}
		if len(block) == 4096 {
			break
		}
		block = block[:len(block)/2]
	}
	return func() error { return os.Remove(path) }, errors.Join(ignore(f.Sync(), unix.ENOSPC), f.Close())
}

// Possible tells why there can be no such file systems here, if so.
func Possible(folder string) error {
	for _, program := range []string{"mkfs.ext4", "e2fsck", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("mounting takes root")
	}
	d, err := New(folder, 8<<20)
	if err != nil {
		return err
	}
	return d.Close()
}
