
(muster.common.v1.PropertyChange.property(muster.common.v1.PropertyChange.previous#muster.common.v1.PropertyChange.new