"""Linear regression and generalized linear regression."""

import warnings
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import pandas
import statsmodels
import statsmodels.api
from sklearn.linear_model import LinearRegression
from sklearn2pmml.statsmodels import StatsModelsRegressor
from statsmodels.genmod.families import Gamma, Gaussian
from statsmodels.tools.sm_exceptions import DomainWarning

from pmml import export
from wine import FEATURES, TARGET


def linear_regression(records: pandas.DataFrame, path: Path) -> None:
    export(records, path, ("regressor", LinearRegression()))


def glm_gaussian(records: pandas.DataFrame, path: Path) -> None:
    model = StatsModelsRegressor(statsmodels.api.GLM, family=Gaussian())
    export(records, path, ("regressor", model))


def glm_gamma(records: pandas.DataFrame, path: Path) -> None:
    """Gamma with its canonical link, the inverse, which is also Spark's default.

    The converter does not know the Gamma family, so the document is written here.
    """
    design = statsmodels.api.add_constant(records[FEATURES])
    with warnings.catch_warnings():
        # The inverse link allows negative means; the qualities and their fits are between 3 and 9.
        warnings.simplefilter("ignore", DomainWarning)
        fit = statsmodels.api.GLM(records[TARGET], design, family=Gamma()).fit()
    document = general_regression_model(
        intercept=float(fit.params["const"]),
        coefficients={name: float(fit.params[name]) for name in FEATURES},
        distribution="gamma",
        # PMML spells the inverse as mean ** linkParameter = predictor.
        link={"linkFunction": "power", "linkParameter": "-1"},
    )
    ElementTree.indent(document, space="\t")
    text = ElementTree.tostring(document, encoding="unicode", short_empty_elements=True)
    declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    path.write_text(f"{declaration}\n{text}\n", encoding="utf-8", newline="\n")


def general_regression_model(
    intercept: float, coefficients: dict[str, float], distribution: str, link: dict[str, str]
) -> Element:
    """A PMML 4.4 document with one GeneralRegressionModel of type generalizedLinear.

    Parameter p0 is the intercept; parameter pN belongs to the N-th covariate alone.
    """
    document = Element("PMML", xmlns="http://www.dmg.org/PMML-4_4", version="4.4")
    header = SubElement(document, "Header", description="generalized linear regression")
    SubElement(header, "Application", name="statsmodels", version=statsmodels.__version__)
    dictionary = SubElement(document, "DataDictionary")
    for name in [TARGET, *coefficients]:
        SubElement(dictionary, "DataField", name=name, optype="continuous", dataType="double")

    model = SubElement(
        document,
        "GeneralRegressionModel",
        modelType="generalizedLinear",
        functionName="regression",
        distribution=distribution,
        **link,
    )
    schema = SubElement(model, "MiningSchema")
    SubElement(schema, "MiningField", name=TARGET, usageType="target")
    for name in coefficients:
        SubElement(schema, "MiningField", name=name)

    parameters = SubElement(model, "ParameterList")
    covariates = SubElement(model, "CovariateList")
    predictors = SubElement(model, "PPMatrix")
    weights = SubElement(model, "ParamMatrix")
    SubElement(parameters, "Parameter", name="p0", label="(intercept)")
    SubElement(weights, "PCell", parameterName="p0", beta=repr(intercept))
    for index, (name, beta) in enumerate(coefficients.items(), start=1):
        parameter = f"p{index}"
        SubElement(parameters, "Parameter", name=parameter)
        SubElement(covariates, "Predictor", name=name)
        SubElement(predictors, "PPCell", value="1", predictorName=name, parameterName=parameter)
        SubElement(weights, "PCell", parameterName=parameter, beta=repr(beta))
    return document


BUILDERS = {
    "winequality-linear-regression": linear_regression,
    "winequality-glm-gaussian": glm_gaussian,
    "winequality-glm-gamma": glm_gamma,
}
