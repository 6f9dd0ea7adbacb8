"""Sends the logs of each epoch to a server."""
import warnings

from nnc.callbacks.callback import Callback


class RemoteMonitor(Callback):
    """Posts the logs of each epoch as JSON; a server that does not answer is warned of only.

    Args:
        root: The server's address.
        path: Path behind `root`.
        field: Form field that holds the JSON text, without `send_as_json`.
        headers: Dict of HTTP headers.
        send_as_json: Whether the body is the JSON itself.
    """

    def __init__(self, root="http://localhost:9000", path="/publish/epoch/end/", field="data",
                 headers=None, send_as_json=False):
        super().__init__()
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = headers, send_as_json

    def on_epoch_end(self, epoch, logs=None):
        import json
        from urllib import parse, request

        content = {"epoch": epoch}
        for name, value in (logs or {}).items():
            content[name] = value.tolist() if hasattr(value, "tolist") else value
        text = json.dumps(content)
        kind = "application/json"
        if not self.send_as_json:
            text, kind = parse.urlencode({self.field: text}), "application/x-www-form-urlencoded"
        try:
            post = request.Request(self.root + self.path, text.encode(),
                                   {"Content-Type": kind, **(self.headers or {})}, method="POST")
            request.urlopen(post, timeout=10).close()
        except OSError as error:
            warnings.warn(f"RemoteMonitor: {self.root + self.path} could not be reached: {error}",
                          stacklevel=2)
