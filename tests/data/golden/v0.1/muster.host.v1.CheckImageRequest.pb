
&muster.host.v1.CheckImageRequest.image