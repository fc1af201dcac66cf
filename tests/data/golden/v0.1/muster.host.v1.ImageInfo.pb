
muster.host.v1.ImageInfo.image"muster.host.v1.ImageInfo.datastoremuster.host.v1.ImageInfo.path"muster.host.v1.ImageInfo.format(ö¼şŞ÷Éú¢0õñ ÏšºéØé