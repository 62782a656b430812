from .audio import process
from .audio_files import process_file
from .stream import Stream

__all__ = ["Stream", "process", "process_file"]
