"""Headers of usual spreadsheets, in several languages: which column holds what. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broadcast.cells.names import look_of, read_name
from broadcast.errors import InputError

HEADERS: dict[str, tuple[str, ...]] = {
    "external_id": (
        "external_id", "id", "person_id", "reference", "ref", "personnel number", "member number", "customer number",
        "kennung", "personalnummer", "mitgliedsnummer", "kundennummer", "identifiant", "matricule", "référence",
        "identificador", "referencia", "identificativo", "matricola", "riferimento", "identificatie", "identyfikator",
    ),
    "msisdn": (
        "msisdn", "phone", "phone_number", "number", "mobile", "telephone", "mobile number", "mobile phone", "cell",
        "cell phone", "cellphone", "telephone number", "phone no", "mobile no", "contact number",
        "handy", "handynummer", "handynr", "handy-nr.", "mobil", "mobiltelefon", "mobilnummer", "mobilnr", "mobilfunk",
        "mobilfunknummer", "rufnummer", "telefon", "telefonnummer", "telefonnr", "telefon-nr.", "tel", "tel.", "nummer",
        "téléphone", "téléphone portable", "portable", "mobile téléphone", "numéro", "numéro de téléphone", "gsm",
        "teléfono", "teléfono móvil", "móvil", "celular", "número", "número de teléfono", "telefone", "telemóvel",
        "telefono", "cellulare", "numero", "numero di telefono", "numero di cellulare", "telefoon", "telefoonnummer",
        "mobiel", "mobiele nummer", "telefon komórkowy", "numer telefonu", "komórka", "mobilní telefon", "cep telefonu",
        "телефон", "мобильный", "мобильный телефон", "номер телефона", "mobiltelefonszám", "telefonszám",
    ),
    "language": (
        "language", "lang", "locale", "sprache", "langue", "idioma", "lengua", "lingua", "língua", "taal", "język",
        "jazyk", "dil", "язык", "nyelv", "språk", "sprog", "kieli",
    ),
    "groups": (
        "groups", "group", "gruppe", "gruppen", "groupe", "groupes", "grupo", "grupos", "gruppo", "gruppi", "groep",
        "groepen", "grupa", "grupy", "skupina", "skupiny", "grup", "gruplar", "группа", "группы", "csoport", "grupper",
    ),
    "latitude": ("latitude", "lat", "breitengrad", "geographische breite", "latitud", "latitudine", "breedtegraad"),
    "longitude": (
        "longitude", "lon", "lng", "long", "längengrad", "geographische länge", "longitud", "longitudine",
        "lengtegraad",
    ),
    "participant": ("participant", "exercise", "übung", "übungsteilnehmer", "teilnehmer", "exercice", "ejercicio"),
}  # fmt: skip
"""What a column may be called; case, spaces, hyphens, underscores and a dot at the end make no difference."""

ROWS_BEFORE_HEADER = 20
"""Rows at the top of a file among which a header is looked for."""


def _key(title: str) -> str:
    return look_of(title).replace("_", "").replace("-", "").rstrip(".:")


FIELD_OF_TITLE = {_key(title): field for field, titles in HEADERS.items() for title in titles}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands in a row, counted from 0; None: the file does not have it."""

    width: int
    msisdn: int
    external_id: int | None = None
    language: int | None = None
    groups: int | None = None
    latitude: int | None = None
    longitude: int | None = None
    participant: int | None = None
    unknown: tuple[str, ...] = ()


def field_of(title: str) -> str | None:
    """The field that a title names; None for one that is in no table."""
    return FIELD_OF_TITLE.get(_key(title))


def names_number(header: Sequence[str], named: Mapping[str, str] = {}) -> bool:
    """Whether one of the titles is that of the phone number."""
    wanted = look_of(named["msisdn"]) if "msisdn" in named else None
    return any(look_of(title) == wanted if wanted is not None else field_of(title) == "msisdn" for title in header)


def read_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Field to title, of pairs like `phone=Handy`; raises InputError for another form, or a field there is none of."""
    named: dict[str, str] = {}
    for pair in pairs:
        left, equals, title = pair.partition("=")
        field = field_of(left)
        if not equals or not title.strip() or field is None:
            fields = ", ".join(HEADERS)
            raise InputError(f"--map {pair!r}: write FIELD=COLUMN, where FIELD is one of phone, {fields}")
        if field in named:
            raise InputError(f"--map {pair!r}: column {named[field]!r} is that field already; keep one of them")
        named[field] = title
    return named


def read_header(header: Sequence[str], named: Mapping[str, str] = {}) -> Columns:
    """The columns that a header names; unknown ones are kept by name, to be reported.

    `named` is field to title, and goes before the table. Raises InputError when two columns name one field, none names
    the phone number, or the header has no title that `named` gives.
    """
    looks = [look_of(title) for title in header]
    places: dict[str, int] = {}
    for field, title in named.items():
        if looks.count(look_of(title)) != 1:
            held = "twice" if look_of(title) in looks else "nowhere"
            raise InputError(f"--map: column {title!r} is {held} in the header {', '.join(header)!r}")
        places[field] = looks.index(look_of(title))
    given = set(places.values())
    unknown = []
    for place, title in enumerate(header):
        field_found = field_of(title)
        if place in given or not title:
            continue
        if field_found is None or field_found in named:
            unknown.append(read_name(title))
        elif field_found in places:
            raise InputError(
                f"columns {header[places[field_found]]!r} and {title!r} both name {field_found}: keep one of them, or"
                f" say which it is with --map {field_found}=COLUMN"
            )
        else:
            places[field_found] = place
    if "msisdn" not in places:
        raise InputError(
            f"header {', '.join(header)!r} names no phone number: say which column it is with --map phone=COLUMN, or"
            " call it phone"
        )
    return Columns(width=len(header), unknown=tuple(unknown), **places)
