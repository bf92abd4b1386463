# ruff: noqa: INP001, RUF001 - a script beside its data, in the letters of many languages
"""Names in many scripts for the sample signups: what a person is called, and how an address spells it."""

from typing import Final

LATIN: Final = (
    (
        "Ada Grace Mary Jean Thomas Olivia George Niamh Seán Rhys",
        "Baker O'Connor Hughes Clarke Walsh Smith-Jones Evans",
    ),
    ("Jürgen Anneliese Björn Käthe Matthias Zoë", "Müller Größ Weiß Schäfer Hohenlohe-Öhringen Vogel"),
    ("François Hélène Noël Chloé Jean-Baptiste", "Lefèvre Dubois D'Arcy Guérin Saint-Exupéry"),
    ("José María Íñigo Begoña Álvaro Lucía", "García Núñez Ibáñez Etxeberria Peña"),
    ("Łukasz Agnieszka Zbigniew Małgorzata", "Wójcik Śliwiński Brzęczyszczykiewicz Żak"),
    ("İbrahim Ayşe Çağla Gökhan", "Yılmaz Şahin Öztürk Çelik"),
    ("Þórunn Björk Sigurður", "Guðmundsdóttir Jónsson Þorvaldsson"),
    ("João Conceição Inês Tomé", "Gonçalves Simões Brandão"),
    ("Nguyễn Trần Phạm Đặng", "Thị-Hương Văn-Đức Quốc-Bảo"),
    ("Dvořák Jiří Šárka Žofie", "Novák Říha Šťastný"),
    ("Chukwuemeka Adébáyọ̀ Ngozi", "Okonkwo Ọlátúnjí Eze"),
)
"""Given and family names; an address drops the accents."""

OTHER_SCRIPTS: Final = (
    ("Иван", "Кузнецов", "ivan.kuznetsov"),
    ("Анастасия", "Щербакова", "a.shcherbakova"),
    ("Олексій", "Ґалаґан", "oleksii.galagan"),
    ("Ελένη", "Παπαδοπούλου", "eleni.papadopoulou"),
    ("Γιώργος", "Οικονόμου", "giorgos.oikonomou"),
    ("محمد", "الفاسي", "mohammed.alfassi"),
    ("فاطمة", "بن علي", "fatima.benali"),
    ("شیرین", "حسینی", "shirin.hosseini"),
    ("נועה", "כהן", "noa.cohen"),
    ("אברהם", "בן־דוד", "avraham.bendavid"),
    ("प्रिया", "शर्मा", "priya.sharma"),
    ("विक्रम", "राठौड़", "vikram.rathore"),
    ("অনন্যা", "চট্টোপাধ্যায়", "ananya.chatterjee"),
    ("தமிழ்ச்செல்வி", "முருகன்", "tamilselvi.murugan"),
    ("สมชาย", "ศรีสุวรรณ", "somchai.srisuwan"),
    ("王", "秀英", "xiuying.wang"),
    ("李", "伟", "wei.li"),
    ("陳", "美玲", "meiling.chen"),
    ("さくら", "山田", "sakura.yamada"),
    ("健一", "髙橋", "kenichi.takahashi"),
    ("ユウキ", "サトウ", "yuuki.sato"),
    ("민준", "김", "minjun.kim"),
    ("서연", "박", "seoyeon.park"),
    ("გიორგი", "ბერიძე", "giorgi.beridze"),
    ("Անի", "Հակոբյան", "ani.hakobyan"),
    ("አበበ", "ተስፋዬ", "abebe.tesfaye"),
)
"""Given name, family name, and the local part of an address."""

LONG_NAMES: Final = (
    ("Pablo Diego José Francisco de Paula Juan Nepomuceno María de los Remedios", "Ruiz y Picasso"),
    ("Wolfeschlegel", "steinhausenbergerdorffvoralternwarengewissenhaftschaferswessenschafe"),
    ("Rhoshandiatellyneshiaunneveshenk Koyaanisquatsiuth", "Williams"),
    ("ณัฐวุฒิ", "เกียรติศักดิ์สุวรรณรัตนโชติกุลวงศ์ไพศาล"),
)

WRITTEN_ADDRESSES: Final = ("josé.peña", "δοκιμή", "андрей")
"""Local parts beyond ASCII, which mail servers have taken since RFC 6531."""

TEAMS: Final = (
    "Rovers",
    "Harbour City FC",
    "1. FC Blauberg",
    "Étoile du Nord",
    "Real Sotomonte",
    "Wisła Zielona",
    "Черноморец-2",
    "北星ブルーズ",
    "光州 타이거즈",
    "فريق النسور",
    "Over 2.5 goals",
    "Draw & both teams to score",
    'St. Brendan\'s "B" <reserves>',
    "🐺 Wolves of Lake Superior",
)

PHONES: Final = (
    "+1 (202) 555-01{:02d}",
    "+44 20 7946 0{:03d}",
    "+49 30 23125{:03d}",
    "+33 1 99 00 {:02d} 11",
    "020 7946 0{:03d}",
    "+61 2 5550 {:04d}",
)
"""Numbers set aside for fiction."""
