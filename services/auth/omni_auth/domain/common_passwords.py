"""Words that passwords are made of by those who are guessed first; with digits and signs around them as well."""

from typing import Final

COMMON: Final = frozenset(
    """
    123 1234 12345 123456 1234567 12345678 123456789 1234567890 123123 321 111111 000000 0000 1111 121212 112233
    654321 666666 696969 7777777 88888888 987654321 0987654321 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz 1qaz2wsx 1qaz2wsx3edc
    2wsx zaq12wsx q1w2e3r4 q1w2e3r4t5 qwe qwer qwert qwerty qwertyu qwertyui qwertyuio qwertyuiop qwerty123 qweasd
    qweasdzxc qazwsx qazwsxedc asd asdf asdfg asdfgh asdfghjkl asdfghjkl; zxc zxcv zxcvb zxcvbn zxcvbnm poiuytrewq
    lkjhgfdsa mnbvcxz azerty azertyuiop qwertz qwertzuiop abc abcd abcdef abcdefg abc123 aaa aaaa password passwort
    passw0rd p@ssword p@ssw0rd pa55word pa55w0rd passphrase motdepasse contrasena contraseña wachtwoord haslo parola
    senha salasana losenord parole heslo mypassword thepassword newpassword password1 passwordpassword changeme
    changemenow changeit change_me letmein letmeinnow letmein123 welcome welcome1 welcomeback welcometo admin admin1
    administrator root toor rootroot adminadmin superuser superadmin sysadmin user username guest test tester
    testing testtest testpassword default defaultpassword secret topsecret secretpassword mysecret nopassword
    nothing none login loginlogin master access access14 trustno1 iloveyou iloveyou1 iloveyouforever loveyou lovely
    love lover sunshine princess prince dragon monkey football baseball basketball hockey soccer superman batman
    spiderman pokemon starwars pikachu naruto shadow michael jennifer jordan jessica ashley daniel thomas robert
    andrew charlie george matthew nicole hunter killer ranger buster tigger cookie pepper ginger summer winter
    spring autumn flower freedom whatever computer internet server windows linux ubuntu google facebook samsung
    iphone android microsoft amazon github docker kubernetes postgres postgresql redis mysql oracle database gateway
    router omniroute omniroute123 openai anthropic claude chatgpt gemini correcthorsebatterystaple
    correct-horse-battery-staple correcthorse hello hellohello helloworld hello123 goodbye blink182 arsenal
    liverpool chelsea barcelona realmadrid juventus manchester mustang corvette ferrari porsche mercedes harley
    yamaha suzuki maverick phoenix thunder matrix merlin diamond silver golden chocolate banana orange apple cheese
    coffee purple yellow blue green black white red family friends forever jesus christ heaven angel angels blessed
    fuckyou fuckoff asshole bitch pussy ninja gandalf hogwarts metallica nirvana slipknot zaq1zaq1 zaq1 !qaz2wsx
    !qaz p@$$w0rd january february march april june july august september october november december monday tuesday
    wednesday thursday friday saturday sunday
    """.split()  # noqa: SIM905 - a list of words is read as words
)
