"""Settings of data of one's own, which a study names by their files: recordings and reading times."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from brainalign.human import own_reading_times, own_timeseries
from brainalign.human.missing import RULES


def resolved(value: object, info: ValidationInfo) -> object:
    """A path from the folder of the study's file, if there is one."""
    folder = (info.context or {}).get("folder")
    return str((folder / value).resolve()) if folder is not None and isinstance(value, str) else value


Place = Annotated[str, BeforeValidator(resolved)]


class Settings(BaseModel):
    """Strict settings: an unknown key or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _as_tuple(value: object) -> object:
    """A list of YAML, as what can be told apart by its hash."""
    return tuple(value) if isinstance(value, list) else value


class OwnRecording(Settings):
    """A recording that is not published: one kind of file, or a folder, of your own, relative to the study's file."""

    table: Place | None = Field(None, description="CSV file: a row a stimulus, a column a unit")
    participants: Place | None = Field(None, description="CSV file with the participant of each column of the table")
    netcdf: Place | None = Field(None, description="netCDF file in Brain-Score's layout")
    wehbe2014: Place | None = Field(None, description="folder with the files of Wehbe et al. 2014")
    responses: Place | None = Field(None, description="time series: .npy, a row a volume, a column a unit, or NIfTI")
    words: Place | None = Field(None, description="CSV file with word, onset (s, of its run), run, passage")
    tr: Annotated[float, Field(gt=0, allow_inf_nan=False, description="seconds between volumes")] | None = None
    volumes: Annotated[tuple[int, ...] | None, BeforeValidator(_as_tuple)] = Field(
        None, description="of each run, in the order of the words"
    )
    units: Place | None = Field(None, description="CSV file with participant and region of each unit")
    nuisance: Place | None = Field(None, description="CSV file: a row a volume, a column a regressor to take out")
    mask: Place | None = Field(None, description="NIfTI file with the voxels to take")
    missing: Literal[*RULES] | None = Field(None, description="what is done about missing responses of a file")

    @model_validator(mode="after")
    def _one_kind(self):
        keys = self.model_dump(exclude_none=True, exclude={"missing"}).keys()
        if not any(needed <= keys <= needed | optional for needed, optional in self._kinds().values()):
            raise ValueError(
                "give one of table (with participants, if you like), netcdf, wehbe2014, and responses with words and "
                "tr (and volumes, units, nuisance, mask, if you like), not "
                f"{', '.join(keys) or 'nothing'}"
            )
        if self.missing and self.kind not in ("table", "netcdf"):
            raise ValueError("missing: a time series has no missing responses. Leave it out")
        return self

    @staticmethod
    def _kinds() -> dict[str, tuple[set[str], set[str]]]:
        """By what it is called after: settings that a kind needs, and those that it may have."""
        series = {"volumes", "units", "nuisance", "mask"}
        return {
            "table": ({"table"}, {"participants"}),
            "netcdf": ({"netcdf"}, set()),
            "wehbe2014": ({"wehbe2014"}, set()),
            "responses": ({"responses", "words", "tr"}, series),
        }

    @property
    def kind(self) -> str:
        """Which one it is, ``table``, ``netcdf``, ``wehbe2014`` or ``responses``."""
        return next(kind for kind in self._kinds() if getattr(self, kind))

    @property
    def files(self) -> dict[str, str]:
        """Its files, or its folder, by setting."""
        return self.model_dump(exclude_none=True, exclude={"tr", "volumes", "missing"})

    @property
    def name(self) -> str:
        """What it is called: its file, without the ending."""
        return own_timeseries.name_of(self.place) if self.kind == "responses" else self.place.stem

    @property
    def place(self) -> Path:
        """Its file, or its folder."""
        return Path(getattr(self, self.kind))


class OwnReadingTimes(Settings):
    """Reading times that are not published: a table of your own, relative to the study's file."""

    table: Place = Field(description="CSV file: a row a word, or a row a word and reader")
    measure: str = Field(own_reading_times.MEASURE, min_length=1, description="column of the times, ms")

    @property
    def name(self) -> str:
        """What they are called: their file, and the measure where it is not the only one."""
        return own_reading_times.name_of(self.table, self.measure)


def name_of(source: str | OwnRecording | OwnReadingTimes) -> str:
    """What data are called: by name, or of your own."""
    return source if isinstance(source, str) else source.name
