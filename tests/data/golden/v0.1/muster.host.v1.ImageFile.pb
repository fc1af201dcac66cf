
muster.host.v1.ImageFile.nameëıĞƒ‡‡­½