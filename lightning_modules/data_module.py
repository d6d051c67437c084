"""What all data modules have in common."""

from pytorch_lightning import LightningDataModule


class DataModule(LightningDataModule):
    """A data module that is described without being loaded.

    Lightning's own description builds all loaders. The command line's parser describes what it
    links settings from, so that would read, download or simulate the data to build a model.
    """

    def __str__(self) -> str:
        return type(self).__name__
