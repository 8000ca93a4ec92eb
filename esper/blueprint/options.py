"""Which blueprints are offered to the slots of a run."""

from dataclasses import dataclass

from esper.blueprint.base import SELECTIONS


@dataclass(frozen=True)
class Blueprints:
    """Blueprints that seeds may try, in order; a slot skips those that do not fit it.

    names: names from the catalogue, or one word alone that stands for a list: `standard` (the
        best few for the slot's kind), `light` (the cheap ones) or `all` (controls included).
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
        self._check_known()

    @property
    def selection(self) -> str | tuple[str, ...]:
        """The word, or the names."""
        alone = len(self.names) == 1 and self.names[0] in SELECTIONS
        return self.names[0] if alone else self.names

    def _check_known(self) -> None:
        from esper.blueprint import catalogue  # torch: only for those who name blueprints

        for name in self.names:
            try:
                catalogue.get(name)
            except ValueError as error:
                raise ValueError(f"blueprint.names: {error}") from error
