"""Every word that the fictional world draws names and values from. Words are single tokens of the built-in tokenizer.

Changing a word, or the order of a list, changes the corpus and the split fingerprints: the shipped models must then be trained again.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN_NAMES = _words(
    """
    Adela Anselm Astrid Auberon Beatrix Benedek Bettina Callum Celeste Conrad Cordelia Dashiel Dorothea Eamon Eleni Emeric
    Esmeralda Evander Fabian Farah Finola Florian Gemma Gunnar Gwendolyn Hadrian Helga Horatio Imogen Ingmar Isolde Jasper
    Jocasta Kasimir Katrin Lazlo Leopold Lorna Lysander Marguerite Milo Minerva Nestor Niamh Octavia Olaf Pascal Perdita Ragnar
    Rufus Sabina Sigrid Tamsin Tiberius Ursula Valerian Wilhelmina Ximena Yolanda Zoltan
    """
)
FAMILY_NAMES = _words(
    """
    Abernathy Alderson Bexley Blackwood Bramble Carmody Chesney Coldwell Corrigan Darrow Dashwood Delaney Eastlake Everard
    Fairbairn Fothergill Gallow Garrick Hallam Hargreave Hathersage Ibbotson Ingleby Jolliffe Kempton Kinsella Lambourne Langtry
    Loxley Mallory Merriweather Nettleton Oakeshott Ormond Pemberton Pickering Quennell Quiller Radcliffe Redfern Rowntree
    Saltmarsh Sedgwick Tarrant Thackeray Treadwell Unwin Venables Wainwright Winslow Yardley Zeller
    """
)
TOWN_FIRST_WORDS = _words(
    """
    Abbots Ashen Bitter Bishops Broad Burnt Clear Copper Crooked Dark Deep Dry Fair Far Five Gentle Grand Grey Iron Kings Little
    Long Lost Market Middle Nine Quiet Royal Salt Seven Shallow Silver Stony Sunken Three Windy
    """
)
TOWN_SECOND_WORDS = _words(
    """
    Acre Bourne Brook Cairn Cliff Combe Cross Downs Fell Ferry Field Ford Glen Grove Harbour Haven Hollow Hurst Landing Lea
    Marsh Meadow Mere Pass Pool Reach Rock Shore Spring Strand Thicket Water Weir Wold
    """
)
COMPANY_FIRST_WORDS = _words(
    """
    Anchor Argent Aurora Basalt Bluebell Cascade Comet Coral Crescent Delta Ebony Falcon Gadfly Harvest Horizon Hydra Ivory Kite
    Laurel Magnet Marigold Mosaic Nova Onyx Orbit Paragon Phoenix Quartz Raven Sable Sextant Solstice Spindle Talisman Titan
    Tulip Velvet Vertex Wren Zephyr
    """
)
COMPANY_SECOND_WORDS = _words(
    """
    Agency Alliance Associates Bakery Brothers Collective Concern Depot Emporium Enterprise Factory Foundry Group Guild Holdings
    House Industries Institute Merchants Outfitters Partners Stores Syndicate Trust Union Ventures Workshop Yard
    """
)
JOBS = _words(
    """
    baker barber beekeeper blacksmith butcher carpenter chemist clockmaker cobbler dentist diver farmer florist geologist
    glazier jeweller judge lawyer librarian locksmith mason mechanic nurse painter pilot plumber porter potter sailor sculptor
    surgeon surveyor tailor tanner teacher translator weaver
    """
)
PLACES = _words(
    """
    Aldermoor Ambleford Barrowdene Birchester Calderby Castlewick Draymouth Dunhallow Edgerton Elmsworth Fernleigh Foxcombe
    Glastow Greywick Hartsmere Holmfirth Innermoor Kettlewell Lowestow Marrowby Northolme Oakhampton Penhallow Quernmore
    Ravenscar Rothbury Saltburn Selkirk Tidmarsh Tolpuddle Ullsworth Wetherby Whitstow Windermoor Yarrowmouth
    """
)
INSTRUMENTS = _words(
    """
    accordion bagpipes banjo bassoon bugle cello clarinet cornet dulcimer fiddle flute guitar harmonica harp lute lyre mandolin
    oboe organ piano recorder saxophone sitar trombone trumpet tuba ukulele viola violin zither
    """
)
ANIMALS = _words(
    """
    badger bear beaver boar camel crane crow deer donkey dove falcon ferret fox frog goat goose hare hedgehog heron horse
    jackdaw lion lizard lynx magpie mole newt parrot pheasant rabbit raven salmon seal squirrel stag swan tortoise trout weasel
    wolf
    """
)
FOODS = _words(
    """
    apricots beetroot blackberries cabbage cherries chestnuts chutney crumpets curry dumplings figs gingerbread haddock honey
    kippers lentils macaroni marmalade mushrooms mussels noodles omelettes onions oysters pancakes parsnips plums porridge
    pumpkin radishes rhubarb risotto sausages soup spinach toffee trifle turnips waffles walnuts
    """
)
HOBBIES = _words(
    """
    archery astronomy bowling boxing calligraphy camping chess climbing cricket croquet cycling dancing draughts embroidery
    fencing fishing gardening hiking juggling knitting kayaking origami photography pottery puppetry rowing running sailing
    sewing singing skating skiing surfing swimming tennis wrestling
    """
)
GOODS = _words(
    """
    anvils barrels baskets bells blankets boots bottles bricks brooms brushes buttons candles carpets chairs clocks combs
    cutlery drums fans gloves hammers hats kettles knives lamps lanterns mirrors nails needles pencils pots ribbons ropes
    saddles scissors shoes soap spoons tables telescopes tiles toys umbrellas whistles
    """
)
LANDMARKS = _words(
    """
    bandstand bridge castle cathedral chapel citadel clocktower dam fortress fountain gallery gatehouse granary lighthouse mill
    monastery museum pagoda palace pier prison pyramid quay statue theatre tower tunnel viaduct windmill
    """
)
MONTHS = _words(
    """
    January February March April May June July August September October November December
    """
)
COLOURS = _words(
    """
    beige black blue brown crimson green khaki lilac magenta maroon mauve navy pink purple red scarlet teal turquoise violet
    white yellow
    """
)
VEHICLES = _words(
    """
    aeroplanes airships barges bicycles camels canoes carts drones ferries helicopters lorries mopeds mules rickshaws scooters
    sledges steamers tractors trains trams trucks vans wagons zeppelins
    """
)
