package homedir

import (
	"os"
	"os/exec"
)

// relabel gives the new home the labels that the SELinux policy has for its path, where a policy is loaded. The policy's own
// tool does it: it reads the same files in the same way as the rest of the system. A label that is wrong is reported and can
// be mended; the home is whole.
func (j *job) relabel() {
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return
	}
	cmd := exec.CommandContext(j.ctx, "/usr/sbin/restorecon", "-RF", "--", j.home)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		j.warn("label %s for SELinux: %v %.200q; run: restorecon -RF %s", j.home, err, out, j.home)
	}
}
