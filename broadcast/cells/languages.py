"""Languages of people: tags of BCP 47, codes of ISO 639, and names of languages in several languages. Pure."""

import re
from functools import lru_cache

from broadcast.cells.names import look_of, read_name

_CODES = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es
et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj
kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv
ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th
ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
CODES = frozenset(_CODES.split())
"""The codes of ISO 639-1. Others of two letters are countries, like at or cz, and no language."""

NAMES: dict[str, tuple[str, ...]] = {
    "ar": ("arabic", "arabisch", "arabe", "árabe", "arabo", "العربية", "عربي", "ara"),
    "bg": ("bulgarian", "bulgarisch", "bulgare", "български", "bul"),
    "cs": ("czech", "tschechisch", "tchèque", "čeština", "česky", "ces", "cze"),
    "da": ("danish", "dänisch", "danois", "dansk", "dan"),
    "de": ("german", "deutsch", "allemand", "alemán", "tedesco", "duits", "niemiecki", "almanca", "немецкий", "deu",
           "ger"),
    "el": ("greek", "griechisch", "grec", "ελληνικά", "ell", "gre"),
    "en": ("english", "englisch", "anglais", "inglés", "inglese", "inglês", "engels", "angielski", "ingilizce", "eng"),
    "es": ("spanish", "spanisch", "espagnol", "español", "castellano", "spagnolo", "spaans", "spa"),
    "fa": ("persian", "farsi", "persisch", "persan", "فارسی", "fas", "per"),
    "fi": ("finnish", "finnisch", "finnois", "suomi", "fin"),
    "fr": ("french", "französisch", "français", "francés", "francese", "frans", "francuski", "fra", "fre"),
    "hr": ("croatian", "kroatisch", "croate", "hrvatski", "hrv"),
    "hu": ("hungarian", "ungarisch", "hongrois", "magyar", "hun"),
    "it": ("italian", "italienisch", "italien", "italiano", "italiaans", "ita"),
    "nl": ("dutch", "niederländisch", "holländisch", "néerlandais", "nederlands", "olandese", "nld", "dut"),
    "no": ("norwegian", "norwegisch", "norvégien", "norsk", "nor"),
    "pl": ("polish", "polnisch", "polonais", "polski", "polacco", "pol"),
    "pt": ("portuguese", "portugiesisch", "portugais", "português", "portugués", "portoghese", "por"),
    "ro": ("romanian", "rumänisch", "roumain", "română", "rumeno", "ron", "rum"),
    "ru": ("russian", "russisch", "russe", "русский", "ruso", "russo", "rosyjski", "rus"),
    "sk": ("slovak", "slowakisch", "slovaque", "slovenčina", "slk", "slo"),
    "sl": ("slovenian", "slowenisch", "slovène", "slovenščina", "slv"),
    "sq": ("albanian", "albanisch", "albanais", "shqip", "sqi", "alb"),
    "sr": ("serbian", "serbisch", "serbe", "srpski", "српски", "srp"),
    "sv": ("swedish", "schwedisch", "suédois", "svenska", "swe"),
    "tr": ("turkish", "türkisch", "turc", "türkçe", "turco", "tur"),
    "uk": ("ukrainian", "ukrainisch", "ukrainien", "українська", "ukr"),
    "ur": ("urdu", "اردو", "urd"),
    "vi": ("vietnamese", "vietnamesisch", "vietnamien", "tiếng việt", "vie"),
    "zh": ("chinese", "chinesisch", "chinois", "中文", "zho", "chi"),
}  # fmt: skip
"""The tag of each language that has a name here, in languages of Europe and in its own."""

_TAG_OF_NAME = {look_of(name): tag for tag, names in NAMES.items() for name in names}
_TAG = re.compile(r"(?P<primary>[a-z]{2,3})(?P<rest>(?:-[a-z0-9]{1,8}){0,7})", re.ASCII)


@lru_cache(4096)
def read_language(text: str) -> str | None:
    """The tag in lower case, of a tag like de_AT or of a name like Deutsch; None for anything else."""
    named = _TAG_OF_NAME.get(look_of(text))
    if named is not None:
        return named
    found = _TAG.fullmatch(read_name(text).replace("_", "-").lower())
    if found is None or (len(found["primary"]) == 2 and found["primary"] not in CODES):
        return None
    return _TAG_OF_NAME.get(found["primary"], found["primary"]) + found["rest"]
