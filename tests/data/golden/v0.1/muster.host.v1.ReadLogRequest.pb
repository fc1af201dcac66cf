
#muster.host.v1.ReadLogRequest.vm_idÒ¾ñ¤IêÙ