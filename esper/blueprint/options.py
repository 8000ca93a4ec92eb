"""Options that name the blueprints of a run."""

from dataclasses import dataclass

from esper.blueprint import catalogue
from esper.blueprint.base import SELECTIONS


@dataclass(frozen=True)
class Blueprints:
    """The blueprints that seeds may try, in order; a slot offers those that fit it.

    names: names from the catalogue, or a single selection: `standard` (the best few for the slot's
        kind), `light` (cheap ones) or `all` (controls included).
    """

    names: tuple[str, ...] = ("standard",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names:
            raise ValueError("blueprint.names must hold a name at least, got []")
        if isinstance(self.selection, str):
            return
        words = [name for name in self.names if name in SELECTIONS]
        if words:
            raise ValueError(f"blueprint.names: '{words[0]}' stands alone, got {list(self.names)}")
        for name in self.names:
            try:
                catalogue.get(name)
            except ValueError as error:
                raise ValueError(f"blueprint.names: {error}") from error

    @property
    def selection(self) -> str | tuple[str, ...]:
        """The single selection, or the names."""
        is_selection = len(self.names) == 1 and self.names[0] in SELECTIONS
        return self.names[0] if is_selection else self.names
