for i in $(seq ${N:-3}); do
mount -t overlay o -o lowerdir=/tmp/fg/g/low,upperdir=/tmp/fg/g/oup,workdir=/tmp/fg/g/owork /tmp/fg/o; sync -f g
python3 seqw.py /tmp/fg/o/new overlay; umount /tmp/fg/o
for v in "A=" "WB=1" "WC=1" "WC=1 WB=1"; do
env $v /tmp/cfs-x union -o lowerdir=/tmp/fg/g/low,upperdir=/tmp/fg/g/up,workdir=/tmp/fg/g/work /tmp/fg/m; sync -f g
python3 seqw.py /tmp/fg/m/new "$v"; umount /tmp/fg/m
done; done
