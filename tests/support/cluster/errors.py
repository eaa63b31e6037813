"""What goes wrong with a throw-away cluster."""


class ClusterError(Exception):
    """The cluster can't be built, started or asked; the message says what to do about it."""


class BuildError(ClusterError):
    """A binary of the cluster can't be found or built."""


class ComponentError(ClusterError):
    """A process of the control plane ended or didn't become ready; carries the end of its log."""


class KubectlError(ClusterError):
    """kubectl exited with a code other than 0."""

    def __init__(self, args: tuple[str, ...], returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(args)} exited with {returncode}: {stderr.strip()}")
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
