
muster.common.v1.ObjectRef.kindmuster.common.v1.ObjectRef.idmuster.common.v1.ObjectRef.name