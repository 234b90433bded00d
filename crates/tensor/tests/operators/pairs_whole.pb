
;
aPlaceholder*
dtype0*
shape:ÿÿÿÿÿÿÿÿÿ
.
bPlaceholder*
dtype0*
shape:

AddV2AddV2ab*
T0
#
addv2_1IdentityAddV2*
T0

DivDivab*
T0

div_1IdentityDiv*
T0
#
FloorDivFloorDivab*
T0
)

floordiv_1IdentityFloorDiv*
T0
#
FloorModFloorModab*
T0
)

floormod_1IdentityFloorMod*
T0
!
MaximumMaximumab*
T0
'
	maximum_1IdentityMaximum*
T0
!
MinimumMinimumab*
T0
'
	minimum_1IdentityMinimum*
T0

ModModab*
T0

mod_1IdentityMod*
T0

MulMulab*
T0

mul_1IdentityMul*
T0
5
SquaredDifferenceSquaredDifferenceab*
T0
;
squareddifference_1IdentitySquaredDifference*
T0

SubSubab*
T0

sub_1IdentitySub*
T0
)
TruncateDivTruncateDivab*
T0
/
truncatediv_1IdentityTruncateDiv*
T0
)
TruncateModTruncateModab*
T0
/
truncatemod_1IdentityTruncateMod*
T0
=
EqualEqualab*
T0*
incompatible_shape_error(
#
equal_1IdentityEqual*
T0


LessLessab*
T0
!
less_1IdentityLess*
T0

+
GreaterEqualGreaterEqualab*
T0
1
greaterequal_1IdentityGreaterEqual*
T0


AbsAbsb*
T0

PowPowaAbs*
T0

pow_1IdentityPow*
T0
@
a_longPlaceholder*
dtype0	*
shape:ÿÿÿÿÿÿÿÿÿ
3
b_longPlaceholder*
dtype0	*
shape:
)
AddV2_2AddV2a_longb_long*
T0	
(

addv2_longIdentityAddV2_2*
T0	
%
Div_2Diva_longb_long*
T0	
$
div_longIdentityDiv_2*
T0	
/

FloorDiv_2FloorDiva_longb_long*
T0	
.
floordiv_longIdentity
FloorDiv_2*
T0	
/

FloorMod_2FloorModa_longb_long*
T0	
.
floormod_longIdentity
FloorMod_2*
T0	
-
	Maximum_2Maximuma_longb_long*
T0	
,
maximum_longIdentity	Maximum_2*
T0	
-
	Minimum_2Minimuma_longb_long*
T0	
,
minimum_longIdentity	Minimum_2*
T0	
%
Mod_2Moda_longb_long*
T0	
$
mod_longIdentityMod_2*
T0	
%
Mul_2Mula_longb_long*
T0	
$
mul_longIdentityMul_2*
T0	
A
SquaredDifference_2SquaredDifferencea_longb_long*
T0	
@
squareddifference_longIdentitySquaredDifference_2*
T0	
%
Sub_2Suba_longb_long*
T0	
$
sub_longIdentitySub_2*
T0	
5
TruncateDiv_2TruncateDiva_longb_long*
T0	
4
truncatediv_longIdentityTruncateDiv_2*
T0	
5
TruncateMod_2TruncateModa_longb_long*
T0	
4
truncatemod_longIdentityTruncateMod_2*
T0	
I
Equal_2Equala_longb_long*
T0	*
incompatible_shape_error(
(

equal_longIdentityEqual_2*
T0

'
Less_2Lessa_longb_long*
T0	
&
	less_longIdentityLess_2*
T0

7
GreaterEqual_2GreaterEquala_longb_long*
T0	
6
greaterequal_longIdentityGreaterEqual_2*
T0


Abs_1Absb_long*
T0	
$
Pow_2Powa_longAbs_1*
T0	
$
pow_longIdentityPow_2*
T0	
;
pPlaceholder*
dtype0
*
shape:ÿÿÿÿÿÿÿÿÿ
.
qPlaceholder*
dtype0
*
shape:

and
LogicalAndpq

or	LogicalOrpq

or_1	LogicalOrpq


LogicalNot
LogicalNotor_1
?
Equal_3Equalpq*
T0
*
incompatible_shape_error(

bothIdentityand*
T0


eitherIdentityor*
T0

(
neitherIdentity
LogicalNot*
T0

"
sameIdentityEqual_3*
T0
"ª