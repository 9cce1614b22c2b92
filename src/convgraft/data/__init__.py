"""Image sets: opening, splitting, decoding, augmenting and feeding them to training."""

from convgraft.data.augment import AUGMENTATIONS, Augmentation, augmentation
from convgraft.data.broken import BrokenImage
from convgraft.data.columns import MISSING, Column
from convgraft.data.conflicts import Conflict, conflict_words, find_conflicts
from convgraft.data.dataset import EpochBatches, PixelDataset
from convgraft.data.decode import decode
from convgraft.data.image_ids import image_ids
from convgraft.data.imageset import ImageSet
from convgraft.data.leaks import Leak, find_leaks, image_digests, leak_words
from convgraft.data.location import open_images
from convgraft.data.pixels import Pixels, has_room, load_pixels
from convgraft.data.resize import read_resized, resized
from convgraft.data.split import Split, split_images
from convgraft.data.split_file import read_split, write_split
from convgraft.data.streamed import Streamed
from convgraft.data.walk import image_files

__all__ = [
    "AUGMENTATIONS",
    "MISSING",
    "Augmentation",
    "BrokenImage",
    "Column",
    "Conflict",
    "EpochBatches",
    "ImageSet",
    "Leak",
    "PixelDataset",
    "Pixels",
    "Split",
    "Streamed",
    "augmentation",
    "conflict_words",
    "decode",
    "find_conflicts",
    "find_leaks",
    "has_room",
    "image_digests",
    "image_files",
    "image_ids",
    "leak_words",
    "load_pixels",
    "open_images",
    "read_resized",
    "read_split",
    "resized",
    "split_images",
    "write_split",
]
