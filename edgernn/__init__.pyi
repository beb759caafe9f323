"""What `import edgernn` offers, for type checkers."""

from edgernn.errors import EdgernnError as EdgernnError
from edgernn.face import Model as Model
from edgernn.face import Stream as Stream
from edgernn.face import export as export
from edgernn.face import load as load
from edgernn.face import prepare as prepare
from edgernn.face import quantize as quantize
from edgernn.face import simulate as simulate
from edgernn.face import train as train

__version__: str
