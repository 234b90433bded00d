
@
doublePlaceholder*
dtype0*
shape:ÿÿÿÿÿÿÿÿÿ

AbsAbsdouble*
T0

abs_1IdentityAbs*
T0

AcosAcosdouble*
T0
!
acos_1IdentityAcos*
T0

AcoshAcoshdouble*
T0
#
acosh_1IdentityAcosh*
T0

AsinAsindouble*
T0
!
asin_1IdentityAsin*
T0

AsinhAsinhdouble*
T0
#
asinh_1IdentityAsinh*
T0

AtanAtandouble*
T0
!
atan_1IdentityAtan*
T0

AtanhAtanhdouble*
T0
#
atanh_1IdentityAtanh*
T0

CeilCeildouble*
T0
!
ceil_1IdentityCeil*
T0

CosCosdouble*
T0

cos_1IdentityCos*
T0

CoshCoshdouble*
T0
!
cosh_1IdentityCosh*
T0

ExpExpdouble*
T0

exp_1IdentityExp*
T0

Expm1Expm1double*
T0
#
expm1_1IdentityExpm1*
T0

FloorFloordouble*
T0
#
floor_1IdentityFloor*
T0
%
IsFiniteIsFinitedouble*
T0
)

isfinite_1IdentityIsFinite*
T0


IsInfIsInfdouble*
T0
#
isinf_1IdentityIsInf*
T0


IsNanIsNandouble*
T0
#
isnan_1IdentityIsNan*
T0


LogLogdouble*
T0

log_1IdentityLog*
T0

Log1pLog1pdouble*
T0
#
log1p_1IdentityLog1p*
T0

NegNegdouble*
T0

neg_1IdentityNeg*
T0
)

Reciprocal
Reciprocaldouble*
T0
-
reciprocal_1Identity
Reciprocal*
T0

RintRintdouble*
T0
!
rint_1IdentityRint*
T0

RoundRounddouble*
T0
#
round_1IdentityRound*
T0

RsqrtRsqrtdouble*
T0
#
rsqrt_1IdentityRsqrt*
T0
#
SigmoidSigmoiddouble*
T0
'
	sigmoid_1IdentitySigmoid*
T0

SignSigndouble*
T0
!
sign_1IdentitySign*
T0

SinSindouble*
T0

sin_1IdentitySin*
T0

SinhSinhdouble*
T0
!
sinh_1IdentitySinh*
T0

SqrtSqrtdouble*
T0
!
sqrt_1IdentitySqrt*
T0
!
SquareSquaredouble*
T0
%
square_1IdentitySquare*
T0

TanTandouble*
T0

tan_1IdentityTan*
T0

TanhTanhdouble*
T0
!
tanh_1IdentityTanh*
T0

EluEludouble*
T0

elu_1IdentityElu*
T0

ReluReludouble*
T0
!
relu_1IdentityRelu*
T0

Relu6Relu6double*
T0
#
relu6_1IdentityRelu6*
T0

SeluSeludouble*
T0
!
selu_1IdentitySelu*
T0
%
SoftplusSoftplusdouble*
T0
)

softplus_1IdentitySoftplus*
T0
%
SoftsignSoftsigndouble*
T0
)

softsign_1IdentitySoftsign*
T0"ª